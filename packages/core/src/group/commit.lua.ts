// Generated from commit.lua by `pnpm generate`: do not edit.
export const source: string = `-- Acknowledges entries and moves the checkpoint, if the lease is still the caller's; renews it on the way.
--   KEYS[1] group  KEYS[2] log
--   ARGV[1] group name  ARGV[2] owner  ARGV[3] token  ARGV[4] lease in ms
--   ARGV[5] checkpoint  ARGV[6] what the sink has saved  ARGV[7…] entry IDs
-- Returns 'committed' or 'fenced'.
local group = redis.call('HMGET', KEYS[1], 'owner', 'token', 'checkpoint', 'committer')
if group[1] ~= ARGV[2] or group[2] ~= ARGV[3] then return 'fenced' end
-- A first write that a full Redis does not refuse. Whatever was wrong with the log did not stop what has moved on.
if group[3] == ARGV[5] then redis.call('HDEL', KEYS[1], '') else redis.call('HDEL', KEYS[1], 'damage', 'deaths') end
for from = 7, #ARGV, 1000 do
  redis.pcall('XACK', KEYS[2], ARGV[1], unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
-- An attempt that its sender gave up may come after those that followed it, where this server was held up. It must not take
-- the checkpoint back: nobody would move it on again.
if group[4] == ARGV[3] then
  local epoch, sequence = string.match(ARGV[5], '^(%d+)-(%d+)$')
  local epoch_before, sequence_before = string.match(group[3], '^(%d+)-(%d+)$')
  local ahead = tonumber(epoch_before or 0) - tonumber(epoch)
  if ahead > 0 or (ahead == 0 and tonumber(sequence_before) > tonumber(sequence)) then return 'committed' end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call(
  'HSET', KEYS[1], 'checkpoint', ARGV[5], 'saved', ARGV[6], 'committer', ARGV[3],
  'expires', string.format('%d', now + ARGV[4]), 'committed', string.format('%d', now)
)
return 'committed'
`
