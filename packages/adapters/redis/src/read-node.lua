-- What a node holds of some keys.
--   KEYS[1] versions
--   ARGV keys, at most some thousands
-- Returns the versions of each, or false.
return redis.call('HMGET', KEYS[1], unpack(ARGV))
