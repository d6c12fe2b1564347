-- Notes how far the first copy of a group is, or that it is done, if the lease is still the caller's; renews it on the way.
--   KEYS[1] group
--   ARGV[1] owner  ARGV[2] token  ARGV[3] lease in ms  ARGV[4] progress, or '' when it is done
-- Returns 'noted' or 'fenced'.
local group = redis.call('HMGET', KEYS[1], 'owner', 'token')
if group[1] ~= ARGV[1] or group[2] ~= ARGV[2] then return 'fenced' end
-- A first write that a full Redis does not refuse: a copy that is done lets the log be trimmed.
redis.call('HDEL', KEYS[1], ARGV[4] == '' and 'copy' or '')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'expires', string.format('%d', now + ARGV[3]))
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'copy', ARGV[4]) end
return 'noted'
