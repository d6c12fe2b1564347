// Generated from epoch.lua by `pnpm generate`: do not edit.
export const source: string = `-- A part of other scripts: the partition's header, and the epoch in which new history is written.
--
-- A server takes a new replication id when it is promoted and when it restarts: from then on this copy of the data
-- may miss what was acknowledged elsewhere. So when the id differs from the one that the header knows, a later
-- epoch begins, and the header keeps how much of the earlier ones it inherited. Its number counts the seconds that
-- the epoch before it lasted, so that the same old copy does not give the same number when it is restored again.

-- The replication id of this server; '' where the user may not call INFO.
local function replication_id()
  local info = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' then return '' end
  return string.match(info, 'master_replid:(%x+)') or ''
end

-- Redis time in ms, as text: Lua would print numbers of this size exactly, but they are only passed on.
local function now_ms()
  local time = redis.call('TIME')
  return string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
end

-- The number of the epoch that follows: one more at least, also where the clock went back.
local function epoch_after(header_key, epoch)
  local opened = string.match(redis.call('HGET', header_key, 'epoch:' .. epoch) or '', '%d+$')
  local lasted = opened and math.floor((tonumber(now_ms()) - tonumber(opened)) / 1000) or 0
  return epoch + math.max(1, lasted)
end

-- Returns epoch, sequence (numbers), and whether a new epoch has to be opened; nil when there is no header.
local function read_header(header_key, server_id)
  local header = redis.call('HMGET', header_key, 'epoch', 'sequence', 'replication-id')
  if not header[2] then return nil end
  local epoch, sequence = tonumber(header[1]), tonumber(header[2])
  if server_id == '' or server_id == header[3] then return epoch, sequence, false end
  return epoch_after(header_key, epoch), sequence, true
end

-- A write: call it after everything was validated, and never as a script's first write where a full Redis must not refuse.
local function open_epoch(header_key, server_id, epoch, sequence, now)
  redis.call(
    'HSET', header_key, 'epoch', epoch, 'replication-id', server_id,
    'epoch:' .. epoch, string.format('%d', sequence) .. ' ' .. string.sub(server_id, 1, 12) .. ' ' .. now
  )
end
`
