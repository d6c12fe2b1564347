// Generated from partition.lua by `pnpm generate`: do not edit.
export const source: string = `-- A part of other scripts: who may write a partition, and how far it has come.
--
-- A fence reads "epoch token owner", a position "epoch sequence branch": both are ordered by their two numbers.
-- All numbers here stay below 2^53, so Lua's hold them exactly.

local function is_newer(text, than)
  local epoch, number = string.match(text, '^(%d+) (%d+) ')
  local than_epoch, than_number = string.match(than, '^(%d+) (%d+) ')
  epoch, than_epoch = tonumber(epoch), tonumber(than_epoch)
  return epoch > than_epoch or (epoch == than_epoch and tonumber(number) > tonumber(than_number))
end

-- Returns the stored fence and position, false where there is none, and the number of confirmed calls. A version that was
-- switched is fenced for everybody.
local function read_partition(key, partition)
  local held = redis.call(
    'HMGET', key, 'fence ' .. partition, 'position ' .. partition, 'calls ' .. partition, 'next'
  )
  if held[4] then held[1] = '0 0 the switch to version ' .. held[4] end
  return held[1], held[2], tonumber(held[3] or '0')
end

-- Counts one more call and stores the position with it. Returns the count, as text.
local function store_progress(key, partition, held_position, position, calls)
  local field, count = 'position ' .. partition, string.format('%.0f', calls + 1)
  -- An older position is that of a call that comes late: it says less than what is stored.
  if held_position and not is_newer(position, held_position) then position = held_position end
  -- A full Redis refuses HSET, but not after a write that it cannot refuse; and deletes have to get in to make room.
  redis.call('HDEL', key, field)
  redis.call('HSET', key, field, position, 'calls ' .. partition, count)
  return count
end
`
