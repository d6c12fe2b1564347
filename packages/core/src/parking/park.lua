-- Sets changes of keys aside, if the lease is still the caller's: a marker for each key, and copies in the group's one
-- parked stream. Doing it twice is harmless: only what is newer than the last copy of its key is added.
--   KEYS[1] group  KEYS[2] parked keys  KEYS[3] parked
--   ARGV[1] owner  ARGV[2] token
--   ARGV[3…] for each change: field (collection and key), epoch, sequence, reason code, reason, change as JSON
-- Returns 'parked' or 'fenced'.
local group = redis.call('HMGET', KEYS[1], 'owner', 'token')
if group[1] ~= ARGV[1] or group[2] ~= ARGV[2] then return 'fenced' end
-- A first write that a full Redis does not refuse: parking frees more than it takes.
redis.call('HDEL', KEYS[1], '')
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
for at = 3, #ARGV, 6 do
  local field, epoch, sequence, code, reason, copy = unpack(ARGV, at, at + 5)
  local stamp = epoch .. '-' .. sequence
  local marker = redis.call('HGET', KEYS[2], field)
  local newer = true
  local parked
  if marker then
    parked = cjson.decode(marker)
    local last_epoch, last_sequence = string.match(parked.last, '^(%d+)%-(%d+)$')
    last_epoch, last_sequence = tonumber(last_epoch), tonumber(last_sequence)
    newer = tonumber(epoch) > last_epoch or (tonumber(epoch) == last_epoch and tonumber(sequence) > last_sequence)
  else
    parked = { since = now, first = stamp, code = code, reason = reason, count = 0 }
  end
  if newer then
    parked.last = stamp
    parked.count = parked.count + 1
    redis.call('XADD', KEYS[3], '*', 'field', field, 'stamp', stamp, 'code', code, 'reason', reason, 'change', copy)
    redis.call('HSET', KEYS[2], field, cjson.encode(parked))
  end
end
return 'parked'
