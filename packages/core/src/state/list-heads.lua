-- Part of a state bucket: keys with the heads of their records, without the values.
--   KEYS[1] state bucket
--   ARGV[1] cursor  ARGV[2] about how many  ARGV[3] bytes of a head
-- Returns {next cursor, key, head, key, head, …}.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply, entries, bytes = { page[1] }, page[2], tonumber(ARGV[3])
for at = 1, #entries, 2 do
  -- The empty field stands for nobody.
  if entries[at] ~= '' then
    reply[#reply + 1] = entries[at]
    reply[#reply + 1] = string.sub(entries[at + 1], 1, bytes)
  end
end
return reply
