-- Reads those of one page of the rows that are in some cells. (With row.lua and cell.lua.)
--   KEYS[1] rows   KEYS[2] scratch
--   ARGV[1] cursor, '0' at first   ARGV[2] about how many   ARGV[3] depth   ARGV[4] how long scratch stays, ms
-- Returns {next cursor or '0', row …}; {'gone'} when the scratch key is.
if redis.call('EXISTS', KEYS[2]) == 0 then return { 'gone' } end
local depth = tonumber(ARGV[3])
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply, inside = { page[1] }, {}
for index = 2, #page[2], 2 do
  local cell = cell_of(page[2][index], depth)
  if cell then
    if inside[cell] == nil then inside[cell] = redis.call('HEXISTS', KEYS[2], 'in ' .. cell) == 1 end
    if inside[cell] then reply[#reply + 1] = row_text(page[2][index]) end
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return reply
