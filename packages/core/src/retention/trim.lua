-- Removes a bounded piece of what nobody registered needs any more. Runs behind epoch.lua and epochs.lua.
--
-- The floor is computed here, in the same step as the removal: a hold that is taken, or a group that is registered or
-- rewound, comes either before it, and is minded, or after it, and is refused below what is gone.
--
--   KEYS[1] header  KEYS[2] log  KEYS[3] groups  KEYS[4] holds  KEYS[5…] groups in the order of their names in ARGV
--   ARGV[1] the last stamp that is older than the retention time   ARGV[2] changes that one call may remove, 0 to look only
--   ARGV[3…] names of the groups
-- Returns {'trimmed', batches removed, up to which sequence all is gone, floor, 1 when that is reached else 0, kind, name}
-- (who sets the floor: 'group' or a hold's kind and name; '' and '' where only the retention time does),
-- {'groups'} when the groups are others by now, {'stray', entry ID} for a first entry that is none of ours, or {'missing'}.
local epoch, sequence = read_header(KEYS[1], '')
if not epoch or redis.call('EXISTS', KEYS[2]) == 0 then return { 'missing' } end
local epochs = read_epochs(KEYS[1])
local now = tonumber(now_ms())

local records, given = {}, 0
for at = 3, #ARGV do
  records[ARGV[at]] = KEYS[at + 2]
  given = given + 1
end
for _, name in ipairs(redis.call('HKEYS', KEYS[3])) do
  if name ~= '' then
    if not records[name] then return { 'groups' } end
    given = given - 1
  end
end
if given ~= 0 then return { 'groups' } end

-- What cannot be read holds everything back.
local surviving = function(stamp)
  local of, at = string.match(stamp or '', '^(%d+)%-(%d+)$')
  return of and survived_up_to(epochs, tonumber(of), tonumber(at)) or 0
end
local floor, kind, name = surviving(ARGV[1]), '', ''
local mind = function(whose_kind, whose_name, at)
  if at < floor then floor, kind, name = at, whose_kind, whose_name end
end
for group, record in pairs(records) do
  -- A sink that is opened again goes on from what it has saved, which may lie before the checkpoint.
  local stamps = redis.call('HMGET', record, 'checkpoint', 'saved')
  mind('group', group, math.min(surviving(stamps[1]), surviving(stamps[2])))
end
local over, misdated = {}, {}
local holds = redis.call('HGETALL', KEYS[4])
for at = 1, #holds, 2 do
  if holds[at] ~= '' then
    local stamp, of_kind, since, ttl, expires, owner =
      string.match(holds[at + 1], '^(%S+) (%S+) (%d+) (%d+) (%d+) (.*)$')
    ttl, expires = tonumber(ttl or '0'), tonumber(expires or '0')
    if ttl > 0 and expires <= now then
      over[#over + 1] = holds[at]
    else
      mind(of_kind or 'unreadable', holds[at], surviving(stamp))
      if ttl > 0 and expires > now + ttl then
        misdated[#misdated + 1] = holds[at]
        misdated[#misdated + 1] = table.concat({ stamp, of_kind, since, whole(ttl), whole(now + ttl), owner }, ' ')
      end
    end
  end
end

-- The sequence before the first entry; of an empty stream, all.
local before_first = function()
  local entry = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not entry then return sequence end
  for at = 1, #entry[2], 2 do
    if entry[2][at] == 'first' and tonumber(entry[2][at + 1]) then return tonumber(entry[2][at + 1]) - 1 end
  end
  return nil, entry[1]
end
local begins, stray = before_first()
if not begins then return { 'stray', stray } end
local trimmed = tonumber(redis.call('HGET', KEYS[1], 'trimmed') or '0')
local step = tonumber(ARGV[2])
local target = math.min(floor, math.max(trimmed, begins) + step)

-- Neither is refused by a full Redis: trimming is what makes room.
if step > 0 and #over > 0 then redis.call('HDEL', KEYS[4], unpack(over, 1, math.min(#over, 1000))) end
local removed = 0
if step > 0 and target > trimmed then
  removed = redis.call('XTRIM', KEYS[2], 'MINID', whole(epoch_of(epochs, target + 1)) .. '-' .. whole(target + 1))
  -- A batch that reaches beyond the target stays whole.
  trimmed = math.max(trimmed, math.min(target, before_first() or target))
  redis.call('HSET', KEYS[1], 'trimmed', whole(trimmed))
  if #misdated > 0 then redis.call('HSET', KEYS[4], unpack(misdated, 1, math.min(#misdated, 1000))) end
end
return { 'trimmed', removed, trimmed, floor, target >= floor and 1 or 0, kind, name }
