-- Saves how far an origin has been brought into the log. Runs behind epoch.lua.
--   KEYS[1] origins of the namespace
--   ARGV[1] name  ARGV[2] token  ARGV[3] progress
--   ARGV[4] the replication id of the server when it was saved last, '' where it does not matter
-- Returns {'saved', replication id} or {'fenced'}, or {'another-server', replication id} where nothing was saved, because
-- this server may not have all that the other one acknowledged.
if redis.call('HGET', KEYS[1], 'token:' .. ARGV[1]) ~= ARGV[2] then return { 'fenced' } end
local server_id = replication_id()
if ARGV[4] ~= '' and ARGV[4] ~= server_id then return { 'another-server', server_id } end
redis.call('HSET', KEYS[1], 'progress:' .. ARGV[1], ARGV[3])
return { 'saved', server_id }
