// Generated from partition.lua by `pnpm generate`: do not edit.
export const source: string = `-- A part of other scripts: who may write a partition, and how far it has come.
--
-- A fence reads "epoch token owner", a position "epoch sequence branch": both are ordered by their two numbers, which stay
-- below 2^53, so Lua's hold them exactly.

local function is_newer(text, than)
  local epoch, number = string.match(text, '^(%d+) (%d+) ')
  local than_epoch, than_number = string.match(than, '^(%d+) (%d+) ')
  epoch, than_epoch = tonumber(epoch), tonumber(than_epoch)
  return epoch > than_epoch or (epoch == than_epoch and tonumber(number) > tonumber(than_number))
end

-- Counts one more call and stores the position with it, unless that is older than the stored one. Returns the count.
local function store_progress(key, group, position, calls)
  local field, count = 'position ' .. group, string.format('%.0f', calls + 1)
  local held = redis.call('HGET', key, field)
  if held and not is_newer(position, held) then position = held end
  -- A full Redis refuses HSET, but not after a write that it cannot refuse.
  redis.call('HDEL', key, field)
  redis.call('HSET', key, field, position, 'calls ' .. group, count)
  return count
end
`
