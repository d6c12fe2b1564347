// Generated from purge-producers.lua by `pnpm generate`: do not edit.
export const source: string = `-- Forgets producers that have not stored anything for long.
--
-- What a producer stored last is how an echo of it is recognised: a retry that was long under way, or of a process that
-- stood still. So with the entries it is written down, in the same step, up to which age names may be forgotten; the append
-- script asks a producer that it does not know and that is as old to take a new name, and does not store its batch. An
-- entry goes only where the name itself is as old too, whatever the server's clock did in between.
--   KEYS[1] header  KEYS[2] producers
--   ARGV[1] names and batches before this time, ms   ARGV[2] 1 to only count   ARGV[3…] producers
-- Returns how many were, or would be, forgotten.
local before = tonumber(ARGV[1])
local old = {}
for at = 3, #ARGV do
  local last = redis.call('HGET', KEYS[2], ARGV[at])
  local stored = last and tonumber(string.match(last, '^%d+ %d+ %d+ (%d+)|'))
  local named = tonumber(string.match(ARGV[at], '^(%d+)%.'))
  if stored and named and stored < before and named < before then old[#old + 1] = ARGV[at] end
end
if #old == 0 or ARGV[2] == '1' then return #old end
-- A first write that a full Redis does not refuse; of a field that is not there.
redis.call('HDEL', KEYS[2], ' ')
local forgotten = tonumber(redis.call('HGET', KEYS[1], 'producers-forgotten') or '0')
redis.call('HSET', KEYS[1], 'producers-forgotten', string.format('%d', math.max(forgotten, before)))
return redis.call('HDEL', KEYS[2], unpack(old))
`
