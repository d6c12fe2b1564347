-- Writes what a site holds of a key, where it still holds what was read, and tells followers which key it was.
--   KEYS[1] versions  KEYS[2] changed keys
--   ARGV[1] key  ARGV[2] mark of what was read, '' for nothing  ARGV[3] versions, as canonical JSON
--   ARGV[4] how many changed keys are kept for followers, about
-- Returns 'written' or 'changed'.
local held = redis.call('HGET', KEYS[1], ARGV[1])
local mark = ''
if held then mark = redis.sha1hex(held) end
if mark ~= ARGV[2] then return 'changed' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'key', ARGV[1])
return 'written'
