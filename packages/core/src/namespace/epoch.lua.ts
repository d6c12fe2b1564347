// Generated from epoch.lua by `pnpm generate`: do not edit.
export const source: string = `-- A part of other scripts: the partition's header, and the epoch in which new history is written.
--
-- A server takes a new replication id when it is promoted and when it restarts: from then on this copy of the data
-- may miss what was acknowledged elsewhere. So when the id differs from the one that the header knows, a later
-- epoch begins, and the header keeps how much of the earlier ones it inherited. Its number grows with the seconds that
-- the epoch before it lasted, so that the same old copy gives a greater one when it is restored again; its lower 16 bits
-- are of the replication id, so that servers which begin in the same second do not give the same one.

-- The replication id of this server; '' where the user may not call INFO.
local function replication_id()
  local info = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' then return '' end
  -- Found as plain text, which costs a tenth of a pattern, and this is done for each append.
  local _, before = string.find(info, 'master_replid:', 1, true)
  return before and string.match(info, '^%x+', before + 1) or ''
end

-- Redis time in ms, as text: Lua would print numbers of this size exactly, but they are only passed on.
local function now_ms()
  local time = redis.call('TIME')
  return string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
end

-- Epochs have up to 48 bits, and Lua itself makes text only of numbers up to 14 digits.
local function whole(number) return string.format('%d', number) end

-- The number that this server gives to an epoch which begins so many seconds after another, one at least. Redis draws
-- replication ids at random, so any of their digits do.
local function epoch_above(epoch, seconds, server_id)
  local earlier = math.floor(epoch / 65536)
  return (earlier + math.max(1, seconds)) * 65536 + (tonumber(string.sub(server_id, 1, 4), 16) or 0)
end

-- The number of the epoch that follows: above the one before it also where the clock went back.
local function epoch_after(header_key, epoch, server_id)
  local opened = string.match(redis.call('HGET', header_key, 'epoch:' .. whole(epoch)) or '', '%d+$')
  local lasted = opened and math.floor((tonumber(now_ms()) - tonumber(opened)) / 1000) or 0
  return epoch_above(epoch, lasted, server_id)
end

-- Returns epoch, sequence (numbers), whether a new epoch has to be opened, and what the header says under further names,
-- from 4 on; nil when there is no header.
local function read_header(header_key, server_id, ...)
  local header = redis.call('HMGET', header_key, 'epoch', 'sequence', 'replication-id', ...)
  if not header[2] then return nil end
  local epoch, sequence = tonumber(header[1]), tonumber(header[2])
  if server_id == '' or server_id == header[3] then return epoch, sequence, false, header end
  return epoch_after(header_key, epoch, server_id), sequence, true, header
end

-- A write: call it after everything was validated, and never as a script's first write where a full Redis must not refuse.
local function open_epoch(header_key, server_id, epoch, sequence, now)
  redis.call(
    'HSET', header_key, 'epoch', whole(epoch), 'replication-id', server_id,
    'epoch:' .. whole(epoch), whole(sequence) .. ' ' .. string.sub(server_id, 1, 12) .. ' ' .. now
  )
end
`
