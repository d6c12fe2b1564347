-- Begins a transaction of a replay: notes how many errors the server has replied so far, for commit.lua.
--   KEYS[1] bookkeeping of the capture
local info = redis.pcall('INFO', 'stats')
local errors = type(info) == 'string' and string.match(info, 'total_error_replies:(%d+)') or ''
redis.call('HSET', KEYS[1], 'errors', errors)
