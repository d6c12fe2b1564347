-- Creates the metadata of a namespace, or leaves what is there.
--   KEYS[1] metadata
--   ARGV    field, value, … of a new namespace
-- Returns the stored fields and values.
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
return redis.call('HGETALL', KEYS[1])
