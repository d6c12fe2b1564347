-- The sink still rejects a key, if the lease is still the caller's: it stays parked, with the reason of today.
--   KEYS[1] group  KEYS[2] parked keys
--   ARGV[1] owner  ARGV[2] token  ARGV[3] field (collection and key)  ARGV[4] reason code  ARGV[5] reason
-- Returns 'refused', 'absent' when nothing of the key is parked any more, or 'fenced'.
local group = redis.call('HMGET', KEYS[1], 'owner', 'token')
if group[1] ~= ARGV[1] or group[2] ~= ARGV[2] then return 'fenced' end
local stored = redis.call('HGET', KEYS[2], ARGV[3])
if not stored then return 'absent' end
local marker = cjson.decode(stored)
-- A first write that a full Redis does not refuse.
redis.call('HDEL', KEYS[1], '')
marker.redrive, marker.offered, marker.deaths = nil, nil, nil
marker.code, marker.reason = ARGV[4], ARGV[5]
marker.refused = (marker.refused or 0) + 1
redis.call('HSET', KEYS[2], ARGV[3], cjson.encode(marker))
return 'refused'
