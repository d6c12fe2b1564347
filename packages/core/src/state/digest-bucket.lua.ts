// Generated from digest-bucket.lua by `pnpm generate`: do not edit.
export const source: string = `-- Fingerprints of part of a state bucket, by the last bits of the content hashes. Deleted keys have none.
--   KEYS[1] heads of the bucket
--   ARGV[1] cursor  ARGV[2] about how many records  ARGV[3] depth: four bits each  ARGV[4…] cells of the depth before
-- Returns {next cursor, "low count high-sum low-sum", …}.
local depth = tonumber(ARGV[3])
local size, parent_size = 16 ^ depth, 16 ^ (depth - 1)
local inside = {}
for at = 4, #ARGV do inside[tonumber(ARGV[at])] = true end
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local counts, high_sums, low_sums = {}, {}, {}
local entries = page[2]
for at = 2, #entries, 2 do
  local head = entries[at]
  if entries[at - 1] ~= '' and string.byte(head, 24) ~= 100 then
    -- Nine characters of seven bits: a lane of 28, and one of 35.
    local h1, h2, h3, h4, l1, l2, l3, l4, l5 = string.byte(head, 15, 23)
    local high = ((h1 * 128 + h2) * 128 + h3) * 128 + h4
    local low = (((l1 * 128 + l2) * 128 + l3) * 128 + l4) * 128 + l5
    if #ARGV < 4 or inside[low % parent_size] then
      local cell = low % size
      counts[cell] = (counts[cell] or 0) + 1
      high_sums[cell] = (high_sums[cell] or 0) + high
      low_sums[cell] = (low_sums[cell] or 0) + low
    end
  end
end
local reply = { page[1] }
for cell, count in pairs(counts) do
  reply[#reply + 1] = string.format('%.0f %d %.0f %.0f', cell, count, high_sums[cell], low_sums[cell])
end
return reply
`
