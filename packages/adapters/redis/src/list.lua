-- Reads one page of the rows. (With row.lua.)
--   KEYS[1] rows
--   ARGV[1] cursor, '0' at first   ARGV[2] about how many
-- Returns {next cursor or '0', row …}.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply = { page[1] }
for index = 2, #page[2], 2 do reply[#reply + 1] = row_text(page[2][index]) end
return reply
