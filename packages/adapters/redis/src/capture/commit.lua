-- Ends a transaction of a replay: saves how far it is, unless a command between begin.lua and here met an error. Redis does
-- not roll back, so that is damage; it is noted here because whoever reads the replies may die before he has.
--   KEYS[1] bookkeeping of the capture
--   ARGV[1] what is noted as damage   ARGV[2…] fields and values to save
local before = redis.call('HGET', KEYS[1], 'errors')
local info = redis.pcall('INFO', 'stats')
local now = type(info) == 'string' and string.match(info, 'total_error_replies:(%d+)') or ''
-- FLUSHALL takes the note with it, and cannot fail.
if before and before ~= now then
  redis.call('HSET', KEYS[1], 'damage', ARGV[1])
else
  redis.call('HSET', KEYS[1], unpack(ARGV, 2))
end
