-- What is known of a version from its bookkeeping.
--   KEYS[1] progress
-- Returns {'none'} where it has none, else {'kept', the version that it was switched to or '', field, …}.
if redis.call('EXISTS', KEYS[1]) == 0 then return { 'none' } end
return { 'kept', redis.call('HGET', KEYS[1], 'next') or '', unpack(redis.call('HKEYS', KEYS[1])) }
