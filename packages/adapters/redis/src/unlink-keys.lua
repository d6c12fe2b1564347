-- Removes keys of the sink.
--   KEYS at most some thousands
-- Returns {'done'}.
for from = 1, #KEYS, 1000 do redis.call('UNLINK', unpack(KEYS, from, math.min(from + 999, #KEYS))) end
return { 'done' }
