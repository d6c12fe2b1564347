-- A part of other scripts: what is done with a key ends, so an attempt to park that is still on its way must not begin it
-- again. Attempts of one lease are numbered; the group keeps the highest that has parked something (`parks`), and the
-- highest that was over when a key was freed (`parks-over`), each behind its token. Whoever is not above the latter is
-- late, or was overtaken by chance: then he tries again under a higher number.

-- The number in "token number", where the token is this one; else 0.
local function attempt_of(text, token)
  local of, number = string.match(text or '', '^(%S+) (%d+)$')
  return of == token and tonumber(number) or 0
end

-- A write: call it after one that a full Redis does not refuse.
local function key_was_freed(group_key)
  local parks = redis.call('HGET', group_key, 'parks')
  if parks then redis.call('HSET', group_key, 'parks-over', parks) end
end
