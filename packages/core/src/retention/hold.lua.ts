// Generated from hold.lua by `pnpm generate`: do not edit.
export const source: string = `-- A hold in one partition: who still needs the changes behind a position. Runs behind epoch.lua and
-- epochs.lua.
--
-- With the groups, holds are the registry that trim.lua computes its floor from. Each is text in one hash:
-- "position kind since ttl expires owner", where ttl and expires are 0 for a hold that does not expire. An expiry that is
-- further away than the ttl was written by a server with another clock, and reads as one ttl from now.
--
--   KEYS[1] header  KEYS[2] holds
--   ARGV[1] take, move, renew or release   ARGV[2] name   ARGV[3] owner
--   ARGV[4] take, move: position ("epoch-sequence"; take also: end, earliest)
--   ARGV[5] take: kind   ARGV[6] take: ttl in ms, 0 for none
-- Returns {'taken', position}, {'held', owner, since}, {'trimmed', sequence}, {'moved', position}, {'renewed', position},
-- {'released'}, {'gone'} or {'missing'} when the partition has no header.
local action, name, owner = ARGV[1], ARGV[2], ARGV[3]
local epoch, sequence = read_header(KEYS[1], '')
if not epoch then return { 'missing' } end
local now = tonumber(now_ms())

local at, kind, since, ttl, expires, held_by
local held = redis.call('HGET', KEYS[2], name)
if held then
  at, kind, since, ttl, expires, held_by = string.match(held, '^(%S+) (%S+) (%d+) (%d+) (%d+) (.*)$')
  ttl, expires = tonumber(ttl), tonumber(expires)
end

-- The first write is one that a full Redis does not refuse: what makes room again needs holds.
local store = function()
  redis.call('HDEL', KEYS[2], name)
  redis.call('HSET', KEYS[2], name, table.concat({
    at, kind, since, string.format('%d', ttl), string.format('%d', ttl > 0 and now + ttl or 0), owner
  }, ' '))
end

if action == 'take' then
  if held and held_by ~= owner and (ttl == 0 or expires > now) then return { 'held', held_by, since } end
  local trimmed = tonumber(redis.call('HGET', KEYS[1], 'trimmed') or '0')
  at, kind, ttl = ARGV[4], ARGV[5], tonumber(ARGV[6])
  if at == 'end' then at = whole(epoch) .. '-' .. whole(sequence) end
  if at == 'earliest' then
    at = trimmed == 0 and '0-0' or whole(epoch_of(read_epochs(KEYS[1]), trimmed)) .. '-' .. whole(trimmed)
  end
  if tonumber(string.match(at, '%-(%d+)$')) < trimmed then return { 'trimmed', trimmed } end
  since = string.format('%d', now)
  store()
  return { 'taken', at }
end

if not held or held_by ~= owner then return { 'gone' } end
if action == 'release' then
  redis.call('HDEL', KEYS[2], name)
  return { 'released' }
end
if action == 'move' then
  local old_epoch, old_sequence = string.match(at, '^(%d+)%-(%d+)$')
  local new_epoch, new_sequence = string.match(ARGV[4], '^(%d+)%-(%d+)$')
  local newer = tonumber(new_epoch) - tonumber(old_epoch)
  if newer == 0 then newer = tonumber(new_sequence) - tonumber(old_sequence) end
  -- A call that was overtaken by a later one says nothing new.
  if newer > 0 then at = ARGV[4] end
end
store()
return { action == 'move' and 'moved' or 'renewed', at }
`
