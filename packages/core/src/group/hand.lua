-- Writes down what the owner of a partition is about to apply alone, or that it is done with it, if the lease is still its own.
--   KEYS[1] group
--   ARGV[1] owner  ARGV[2] token  ARGV[3] what, or '' when it is done
-- Returns 'noted' or 'fenced'.
local group = redis.call('HMGET', KEYS[1], 'owner', 'token')
if group[1] ~= ARGV[1] or group[2] ~= ARGV[2] then return 'fenced' end
-- A first write that a full Redis does not refuse.
redis.call('HDEL', KEYS[1], 'hand')
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'hand', ARGV[3]) end
return 'noted'
