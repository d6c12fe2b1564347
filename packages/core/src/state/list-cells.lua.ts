// Generated from list-cells.lua by `pnpm generate`: do not edit.
export const source: string = `-- The heads of those records of a state bucket that are in some cells of its digest, without the values.
--   KEYS[1] state bucket
--   ARGV[1] cursor  ARGV[2] about how many records  ARGV[3] bytes of a head  ARGV[4] depth: four bits each  ARGV[5…] cells
-- Returns {next cursor, key, head, key, head, …}.
local size, bytes = 16 ^ tonumber(ARGV[4]), tonumber(ARGV[3])
local inside = {}
for at = 5, #ARGV do inside[tonumber(ARGV[at])] = true end
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply, entries = { page[1] }, page[2]
for at = 1, #entries, 2 do
  local key, record = entries[at], entries[at + 1]
  if key ~= '' and string.byte(record, 26) ~= 2 then
    local _, low = struct.unpack('>I4I5', record, 17)
    if inside[low % size] then
      reply[#reply + 1] = key
      reply[#reply + 1] = string.sub(record, 1, bytes)
    end
  end
end
return reply
`
