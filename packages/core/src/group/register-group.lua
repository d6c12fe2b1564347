-- Registers a group in one partition: from then on the log keeps for it what it has not applied.
--   KEYS[1] header  KEYS[2] groups  KEYS[3] group  KEYS[4] log  KEYS[5] parked keys  KEYS[6] parked
--   KEYS[7] dropped
--   ARGV[1] group
-- Returns 'registered', 'present', or 'missing' when the partition has no header.
if redis.call('EXISTS', KEYS[1]) == 0 then return 'missing' end
-- A group that is older than this key gets it too; where Redis is full, at another time.
if redis.call('EXISTS', KEYS[7]) == 0 then redis.pcall('HSET', KEYS[7], '', '') end
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 and redis.call('EXISTS', KEYS[3]) == 1 then return 'present' end
local now = now_ms()
redis.call('HSET', KEYS[3], 'token', 0, 'checkpoint', '0-0', 'saved', '0-0')
redis.call('HSET', KEYS[5], '', '')
if redis.call('EXISTS', KEYS[6]) == 0 then
  redis.call('XGROUP', 'CREATE', KEYS[6], 'headwater', '0', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', KEYS[6], 'headwater')
end
-- A group of this name may be left over from a registration that was cut short.
redis.pcall('XGROUP', 'CREATE', KEYS[4], ARGV[1], '0')
redis.call('HSET', KEYS[2], ARGV[1], now)
return 'registered'
