-- Notes which parked keys are about to be offered to the sink, or that the sink has answered, if the lease is still the caller's:
-- what a worker dies of must not kill the next one too, and the one after that.
--   KEYS[1] group  KEYS[2] parked keys
--   ARGV[1] owner  ARGV[2] token  ARGV[3] offer or answered  ARGV[4…] fields (collection and key)
-- Returns 'noted' or 'fenced'.
local group = redis.call('HMGET', KEYS[1], 'owner', 'token')
if group[1] ~= ARGV[1] or group[2] ~= ARGV[2] then return 'fenced' end
-- A first write that a full Redis does not refuse: what is fed back makes room.
redis.call('HDEL', KEYS[1], '')
for at = 4, #ARGV do
  local stored = redis.call('HGET', KEYS[2], ARGV[at])
  if stored then
    local marker = cjson.decode(stored)
    marker.offered = ARGV[3] == 'offer' and '1' or nil
    redis.call('HSET', KEYS[2], ARGV[at], cjson.encode(marker))
  end
end
return 'noted'
