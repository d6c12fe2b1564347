-- Ends a version for everybody who writes it, in favour of the next one, if its partitions are still held by the caller.
--   KEYS[1] progress of the version
--   ARGV[1] the next version   ARGV[2] group   ARGV[3 …] fence of each partition, from 0
-- Returns {'done'}, or {'fenced', fence or '', partition} with what stands there instead.
if redis.call('HGET', KEYS[1], 'next') == ARGV[1] then return { 'done' } end
for at = 3, #ARGV do
  local held = redis.call('HGET', KEYS[1], 'fence ' .. at - 3 .. ' ' .. ARGV[2])
  if held ~= ARGV[at] then return { 'fenced', held or '', tostring(at - 3) } end
end
redis.call('HSET', KEYS[1], 'next', ARGV[1])
return { 'done' }
