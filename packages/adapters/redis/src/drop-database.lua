-- Empties the database of a version.
--   KEYS[1] version
--   ARGV[1] the version that it must hold
-- Returns {'done'}, also where it holds no version any more, or {'other', version}.
local held = redis.call('GET', KEYS[1])
if not held then return { 'done' } end
if held ~= ARGV[1] then return { 'other', held } end
redis.call('FLUSHDB', 'ASYNC')
return { 'done' }
