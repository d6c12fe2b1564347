-- The life sign of a worker in its group. Only placement depends on it: the right to a partition is the lease's.
--   KEYS[1] members
--   ARGV[1] join or leave   ARGV[2] worker   ARGV[3] how long the sign lasts, ms
-- Returns the names of the live workers.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if ARGV[1] == 'leave' then
  redis.call('ZREM', KEYS[1], ARGV[2])
else
  redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[2])
end
-- Signs from a server whose clock ran ahead would keep the dead alive.
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now + ARGV[3] * 2, '+inf')) do
  redis.call('ZADD', KEYS[1], now + ARGV[3], member)
end
return redis.call('ZRANGE', KEYS[1], 0, -1)
