-- Adds one page of the rows to the sums of their cells. (With cell.lua.)
--   KEYS[1] rows   KEYS[2] scratch
--   ARGV[1] cursor, '0' at first   ARGV[2] about how many   ARGV[3] depth   ARGV[4] how long scratch stays, ms
-- Returns the next cursor, '0' after the last; 'gone' when the scratch key is.
local scope, depth = redis.call('HGET', KEYS[2], ''), tonumber(ARGV[3])
if not scope then return 'gone' end
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local inside, counts, highs, lows = {}, {}, {}, {}
for index = 2, #page[2], 2 do
  local cell, parent, high, low = cell_of(page[2][index], depth)
  if cell then
    if inside[parent] == nil then
      inside[parent] = scope == 'all' or redis.call('HEXISTS', KEYS[2], 'in ' .. parent) == 1
    end
    if inside[parent] then
      counts[cell] = (counts[cell] or 0) + 1
      highs[cell] = (highs[cell] or 0) + high
      lows[cell] = (lows[cell] or 0) + low
    end
  end
end
for cell, count in pairs(counts) do
  local held = redis.call('HGET', KEYS[2], cell)
  local high, low = highs[cell], lows[cell]
  if held then
    local held_count, held_high, held_low = string.match(held, '(%d+) (%d+) (%d+)')
    count, high, low = count + held_count, high + held_high, low + held_low
  end
  redis.call('HSET', KEYS[2], cell, string.format('%.0f %.0f %.0f', count, high, low))
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return page[1]
