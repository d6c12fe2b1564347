-- Creates the keys of a partition. Every key that a later script touches must exist from here on, since a Cluster answers
-- TRYAGAIN for a declared but absent key of a slot that is moving. Done in any state of half-finished creation.
--   KEYS[1] header  KEYS[2] log  KEYS[3] producers  KEYS[4], KEYS[5] results  KEYS[6] groups  KEYS[7] holds
--   ARGV[1] lineage
-- Returns 'created' or 'present'.
if redis.call('EXISTS', KEYS[1]) == 1 then return 'present' end
local server_id, now = replication_id(), now_ms()
for i = 3, 7 do redis.call('HSET', KEYS[i], '', '') end
if redis.call('EXISTS', KEYS[2]) == 0 then
  -- The only way to an empty stream.
  redis.call('XGROUP', 'CREATE', KEYS[2], 'headwater', '0', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', KEYS[2], 'headwater')
end
-- The header last: it says that the rest is there.
redis.call('HSET', KEYS[1], 'lineage', ARGV[1], 'sequence', 0, 'results', 0, 'results-since', now)
open_epoch(KEYS[1], server_id, 1, 0, now)
return 'created'
