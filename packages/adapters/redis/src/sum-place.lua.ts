// Generated from sum-place.lua by `pnpm generate`: do not edit.
export const source: string = `-- Sums up one page of the rows of one place, cell by cell. (With cell.lua.)
--   KEYS[1] rows
--   ARGV[1] cursor, '0' at first   ARGV[2] about how many   ARGV[3] depth
--   ARGV[4] the only partition whose rows count, or '' for all   ARGV[5 …] cells that rows have to be in; none for all
-- Returns {next cursor or '0', 'partition bucket low count high-sum low-sum', …}.
local depth, partition, inside = tonumber(ARGV[3]), ARGV[4], {}
for at = 5, #ARGV do inside[ARGV[at]] = true end

local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local counts, highs, lows = {}, {}, {}
for index = 2, #page[2], 2 do
  local cell, parent, high, low = cell_of(page[2][index], depth)
  if cell
    and (#ARGV < 5 or inside[parent])
    and (partition == '' or string.match(cell, '^%S+') == partition)
  then
    counts[cell] = (counts[cell] or 0) + 1
    highs[cell] = (highs[cell] or 0) + high
    lows[cell] = (lows[cell] or 0) + low
  end
end
local reply = { page[1] }
for cell, count in pairs(counts) do
  reply[#reply + 1] = cell .. string.format(' %d %.0f %.0f', count, highs[cell], lows[cell])
end
return reply
`
