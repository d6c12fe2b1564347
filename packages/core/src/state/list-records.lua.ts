// Generated from list-records.lua by `pnpm generate`: do not edit.
export const source: string = `-- Part of a bucket of the state: keys, heads and values of the same moment.
--   KEYS[1] heads  KEYS[2] values
--   ARGV[1] cursor  ARGV[2] about how many
-- Returns {next cursor, key, head, value or false, …}, or {'missing'} where the bucket is gone.
if ARGV[1] == '0' and not redis.call('HGET', KEYS[1], '') then return { 'missing' } end
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply, entries = { page[1] }, page[2]
for at = 1, #entries, 2 do
  -- The empty field stands for nobody.
  if entries[at] ~= '' then
    local last = #reply
    reply[last + 1], reply[last + 2] = entries[at], entries[at + 1]
    reply[last + 3] = redis.call('HGET', KEYS[2], entries[at])
  end
end
return reply
`
