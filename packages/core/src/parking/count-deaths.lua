-- The owner before died: counts that for the parked keys which it was offering to the sink, and keeps those parked that have
-- cost as many workers as the group allows, if the lease is the caller's.
--   KEYS[1] group  KEYS[2] parked keys
--   ARGV[1] owner  ARGV[2] token  ARGV[3] most deaths  ARGV[4] reason code  ARGV[5] reason
-- Returns 'counted' or 'fenced'.
local group = redis.call('HMGET', KEYS[1], 'owner', 'token')
if group[1] ~= ARGV[1] or group[2] ~= ARGV[2] then return 'fenced' end
-- A first write that a full Redis does not refuse.
redis.call('HDEL', KEYS[1], '')
local markers = redis.call('HGETALL', KEYS[2])
for at = 1, #markers, 2 do
  local marker = markers[at] ~= '' and cjson.decode(markers[at + 1]) or {}
  if marker.offered then
    marker.offered = nil
    marker.deaths = (marker.deaths or 0) + 1
    if marker.deaths >= tonumber(ARGV[3]) then
      marker.redrive, marker.deaths = nil, nil
      marker.code, marker.reason = ARGV[4], ARGV[5]
      marker.refused = (marker.refused or 0) + 1
    end
    redis.call('HSET', KEYS[2], markers[at], cjson.encode(marker))
  end
end
return 'counted'
