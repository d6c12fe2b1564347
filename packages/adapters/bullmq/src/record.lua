-- Notes which changes the queue has got, as the last step of the transaction that added their jobs. (With partition.lua.)
--   KEYS[1] books of the partition   KEYS[2 …] keys of the jobs that were added just now
--   ARGV[1] group   ARGV[2] position
--   then for each change: field of its key, stamp, and which of KEYS its job is: 0 where it was to have none
-- Returns {confirmed calls, for each change '1' or '0'}: '0' where its job is not there.
--
-- A transaction is not rolled back when one of its commands fails, such as a script that the server has forgotten: what has
-- no job must not count as taken.
local books_key, group, position = KEYS[1], ARGV[1], ARGV[2]

local calls = tonumber(redis.call('HGET', books_key, 'calls ' .. group) or '0')
local reply = { store_progress(books_key, group, position, calls) }
for at = 3, #ARGV, 3 do
  local job = tonumber(ARGV[at + 2])
  local taken = job == 0 or redis.call('EXISTS', KEYS[job]) == 1
  if taken then redis.call('HSET', books_key, ARGV[at], ARGV[at + 1]) end
  reply[#reply + 1] = taken and '1' or '0'
end
return reply
