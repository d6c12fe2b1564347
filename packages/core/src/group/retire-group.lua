-- Forgets a group in one partition: its progress, its lease, and what is parked. From then on it holds nothing back.
--   KEYS[1] groups  KEYS[2] group  KEYS[3] log  KEYS[4] parked keys  KEYS[5] parked  KEYS[6] dropped
--   ARGV[1] group  ARGV[2] 'forced' or ''
-- Returns 'retired', 'unknown', or {'live', owner} where a worker has the lease and nothing was forced.
local lease = redis.call('HMGET', KEYS[2], 'owner', 'expires')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] ~= 'forced' and lease[1] and tonumber(lease[2] or '0') > now then return { 'live', lease[1] } end
-- None of these is refused by a full Redis.
local known = redis.call('HDEL', KEYS[1], ARGV[1])
redis.pcall('XGROUP', 'DESTROY', KEYS[3], ARGV[1])
redis.call('UNLINK', KEYS[2], KEYS[4], KEYS[5], KEYS[6])
return known == 1 and 'retired' or 'unknown'
