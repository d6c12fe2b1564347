// Generated from feed-back.lua by `pnpm generate`: do not edit.
export const source: string = `-- Takes copies out that the sink has by now, if the lease is still the caller's; with the last copy of a key goes its
-- marker, in this one step, so that its next change goes to the sink again. Doing it twice is harmless.
--   KEYS[1] group  KEYS[2] parked keys  KEYS[3] parked
--   ARGV[1] owner  ARGV[2] token  ARGV[3] field (collection and key)
--   ARGV[4] stamp and ARGV[5] entry ID that the copies which are left are not below  ARGV[6…] entry IDs
-- Returns 'freed', 'left' or 'fenced'.
local group = redis.call('HMGET', KEYS[1], 'owner', 'token')
if group[1] ~= ARGV[1] or group[2] ~= ARGV[2] then return 'fenced' end
local removed = 0
for from = 6, #ARGV, 1000 do
  removed = removed + redis.call('XDEL', KEYS[3], unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
local stored = redis.call('HGET', KEYS[2], ARGV[3])
if not stored then return 'freed' end
local marker = cjson.decode(stored)
if removed == 0 and marker.count > 0 then return 'left' end
marker.count = marker.count - removed
if marker.count <= 0 then
  redis.call('HDEL', KEYS[2], ARGV[3])
  key_was_freed(KEYS[1])
  return 'freed'
end
marker.first, marker.from = ARGV[4], ARGV[5]
marker.offered, marker.deaths = nil, nil
redis.call('HSET', KEYS[2], ARGV[3], cjson.encode(marker))
return 'left'
`
