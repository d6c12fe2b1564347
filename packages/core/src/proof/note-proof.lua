-- Notes beside a group what a check of its sink came to, as the holder of the lease.
--   KEYS[1] group
--   ARGV[1] owner  ARGV[2] token  ARGV[3] result  ARGV[4] position of the marker  ARGV[5] reason, or ''
-- Returns 'noted' or 'fenced'.
local group = redis.call('HMGET', KEYS[1], 'owner', 'token')
if group[1] ~= ARGV[1] or group[2] ~= ARGV[2] then return 'fenced' end
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], 'checked', ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. now .. ' ' .. ARGV[5])
if ARGV[3] == 'equal' then redis.call('HSET', KEYS[1], 'verified', ARGV[4] .. ' ' .. now) end
return 'noted'
