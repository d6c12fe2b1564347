-- Swaps two databases, if the partitions of the version in the present one are still held by the caller. The bookkeeping goes
-- along with the data, so whoever writes the version before finds other fences in the next step.
--   KEYS[1] progress   KEYS[2] version, both in each of the databases
--   ARGV[1] number of the database   ARGV[2] of the spare one   ARGV[3] the version there   ARGV[4] the version here
--   ARGV[5] group   ARGV[6 …] fence of each partition, from 0
-- Returns {'done'}, or {'fenced', fence or '', partition} with what stands there instead.
if redis.call('GET', KEYS[2]) == ARGV[3] then return { 'done' } end
for at = 6, #ARGV do
  local held = redis.call('HGET', KEYS[1], 'fence ' .. at - 6 .. ' ' .. ARGV[5])
  if held ~= ARGV[at] then return { 'fenced', held or '', tostring(at - 6) } end
end
redis.call('SET', KEYS[2], ARGV[4])
redis.call('SWAPDB', ARGV[1], ARGV[2])
return { 'done' }
