// Generated from register-group.lua by `pnpm generate`: do not edit.
export const source: string = `-- Registers a group in one partition: from then on the log keeps for it what it has not applied. Runs behind epoch.lua.
--   KEYS[1] header  KEYS[2] groups  KEYS[3] group  KEYS[4] log  KEYS[5] parked keys  KEYS[6] parked
--   KEYS[7] dropped
--   ARGV[1] group  ARGV[2] where it begins: beginning, state or now
-- Returns 'registered', 'present', 'missing' when the partition has no header, or 'trimmed' when the log lacks its beginning.
local server_id = replication_id()
local epoch, sequence, opens = read_header(KEYS[1], server_id)
if not epoch then return 'missing' end
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 and redis.call('EXISTS', KEYS[3]) == 1 then
  -- A group that is older than this key gets it too; where Redis is full, at another time.
  if redis.call('EXISTS', KEYS[7]) == 0 then redis.pcall('HSET', KEYS[7], '', '') end
  return 'present'
end
local now = now_ms()
local checkpoint = '0-0'
if ARGV[2] ~= 'beginning' then
  -- From here the log is read once the state is copied: what is in the state by now is older or the same.
  checkpoint = whole(epoch) .. '-' .. whole(sequence)
elseif sequence > 0 then
  local first = redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 1)[1]
  if not first then return 'trimmed' end
  for at = 1, #first[2], 2 do
    if first[2][at] == 'first' and first[2][at + 1] ~= '1' then return 'trimmed' end
  end
end
if ARGV[2] ~= 'beginning' and opens then open_epoch(KEYS[1], server_id, epoch, sequence, now) end
redis.call('HSET', KEYS[3], 'token', 0, 'checkpoint', checkpoint, 'saved', checkpoint)
if ARGV[2] ~= 'beginning' then redis.call('HSET', KEYS[3], 'copy', '{"start":"' .. ARGV[2] .. '","bucket":0}') end
redis.call('HSET', KEYS[5], '', '')
redis.call('HSET', KEYS[7], '', '')
if redis.call('EXISTS', KEYS[6]) == 0 then
  redis.call('XGROUP', 'CREATE', KEYS[6], 'headwater', '0', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', KEYS[6], 'headwater')
end
-- A group of this name may be left over from a registration that was cut short.
redis.pcall('XGROUP', 'CREATE', KEYS[4], ARGV[1], checkpoint)
redis.call('HSET', KEYS[2], ARGV[1], now)
return 'registered'
`
