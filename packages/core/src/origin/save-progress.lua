-- Saves how far an origin has been brought into the log.
--   KEYS[1] origins of the namespace
--   ARGV[1] name  ARGV[2] token  ARGV[3] progress
-- Returns 'saved' or 'fenced'.
if redis.call('HGET', KEYS[1], 'token:' .. ARGV[1]) ~= ARGV[2] then return 'fenced' end
redis.call('HSET', KEYS[1], 'progress:' .. ARGV[1], ARGV[3])
return 'saved'
