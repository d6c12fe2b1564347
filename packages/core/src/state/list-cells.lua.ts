// Generated from list-cells.lua by `pnpm generate`: do not edit.
export const source: string = `-- Those heads of a bucket of the state that are in some cells of its digest.
--   KEYS[1] heads of the bucket
--   ARGV[1] cursor  ARGV[2] about how many heads  ARGV[3] depth: four bits each  ARGV[4…] cells
-- Returns {next cursor, key, head, key, head, …}.
local size = 16 ^ tonumber(ARGV[3])
local inside = {}
for at = 4, #ARGV do inside[tonumber(ARGV[at])] = true end
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply, entries = { page[1] }, page[2]
for at = 1, #entries, 2 do
  local key, head = entries[at], entries[at + 1]
  if key ~= '' and string.byte(head, 24) ~= 100 then
    local l1, l2, l3, l4, l5 = string.byte(head, 19, 23)
    local low = (((l1 * 128 + l2) * 128 + l3) * 128 + l4) * 128 + l5
    if inside[low % size] then
      reply[#reply + 1] = key
      reply[#reply + 1] = head
    end
  end
end
return reply
`
