// Generated from park.lua by `pnpm generate`: do not edit.
export const source: string = `-- Sets changes of one key aside, if the lease is still the caller's: a marker, and copies in the group's one parked
-- stream. Doing it twice is harmless: only what is newer than the last copy of the key is added. An attempt that comes
-- so late that another has parked the changes, and they were fed back, is told by its number: see freed-key.lua.
--   KEYS[1] group  KEYS[2] parked keys  KEYS[3] parked  KEYS[4] log
--   ARGV[1] owner  ARGV[2] token
--   ARGV[3] park, or divert: only behind what is set aside already  ARGV[4] most keys  ARGV[5] most changes of one key
--   ARGV[6] field (collection and key)  ARGV[7] reason code  ARGV[8] reason
--   ARGV[9] number of the attempt, rising while the lease lasts
--   ARGV[10…] for each change: epoch, sequence, change as JSON
-- Returns {'parked', set aside, added}, {'keys' or 'queue', set aside, added} when the bound left no room for the rest,
-- {'absent'} when there is nothing to go behind, {'late'}, or {'fenced'}.
local group = redis.call('HMGET', KEYS[1], 'owner', 'token', 'parks', 'parks-over')
if group[1] ~= ARGV[1] or group[2] ~= ARGV[2] then return { 'fenced' } end
local attempt = tonumber(ARGV[9])
if attempt <= attempt_of(group[4], ARGV[2]) then return { 'late' } end
local field, code, reason = ARGV[6], ARGV[7], ARGV[8]
local stored = redis.call('HGET', KEYS[2], field)
if not stored and ARGV[3] == 'divert' then return { 'absent' } end
-- The empty field stands for nobody.
if not stored and redis.call('HLEN', KEYS[2]) > tonumber(ARGV[4]) then return { 'keys', 0, 0 } end

-- A first write that a full Redis does not refuse: parking frees more than it takes.
redis.call('HDEL', KEYS[1], '')
local marker
local last_epoch, last_sequence = 0, 0
if stored then
  marker = cjson.decode(stored)
  last_epoch, last_sequence = string.match(marker.last, '^(%d+)%-(%d+)$')
  last_epoch, last_sequence = tonumber(last_epoch), tonumber(last_sequence)
else
  local time = redis.call('TIME')
  local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
  marker = { since = now, first = ARGV[10] .. '-' .. ARGV[11], code = code, reason = reason, count = 0 }
end

local answer, aside, added = 'parked', 0, 0
for at = 10, #ARGV, 3 do
  local epoch, sequence, copy = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local newer = tonumber(epoch) > last_epoch or (tonumber(epoch) == last_epoch and tonumber(sequence) > last_sequence)
  if newer then
    if marker.count >= tonumber(ARGV[5]) then
      answer = 'queue'
      break
    end
    local stamp = epoch .. '-' .. sequence
    local entry = { 'field', field, 'stamp', stamp, 'code', code, 'reason', reason, 'change', copy }
    -- What cannot be read is kept as it lies in the log, every byte of the batch around it.
    local batch = code == 'CHANGE_UNREADABLE' and redis.call('XRANGE', KEYS[4], stamp, '+', 'COUNT', 1)[1]
    if batch then
      local raw = {}
      for index, text in ipairs(batch[2]) do raw[index] = #text .. ':' .. text end
      entry[11], entry[12] = 'raw', table.concat(raw)
    end
    local id = redis.call('XADD', KEYS[3], '*', unpack(entry))
    marker.from = marker.from or id
    marker.last = stamp
    marker.count = marker.count + 1
    added = added + 1
  end
  aside = aside + 1
end
if added > 0 then
  redis.call('HSET', KEYS[2], field, cjson.encode(marker))
  if attempt > attempt_of(group[3], ARGV[2]) then redis.call('HSET', KEYS[1], 'parks', ARGV[2] .. ' ' .. ARGV[9]) end
end
return { answer, aside, added }
`
