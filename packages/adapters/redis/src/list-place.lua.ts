// Generated from list-place.lua by `pnpm generate`: do not edit.
export const source: string = `-- Reads the live rows of one page of one place, each behind its cell. (With row.lua and cell.lua.)
--   KEYS[1] rows
--   ARGV[1] cursor, '0' at first   ARGV[2] about how many   ARGV[3] depth
--   ARGV[4 …] cells that rows have to be in; none for all
-- Returns {next cursor or '0', cell, row, …}.
local depth, inside = tonumber(ARGV[3]), {}
for at = 4, #ARGV do inside[ARGV[at]] = true end

local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply = { page[1] }
for index = 2, #page[2], 2 do
  local cell = cell_of(page[2][index], depth)
  if cell and (#ARGV < 4 or inside[cell]) then
    reply[#reply + 1] = cell
    reply[#reply + 1] = row_text(page[2][index])
  end
end
return reply
`
