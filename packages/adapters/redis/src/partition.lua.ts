// Generated from partition.lua by `pnpm generate`: do not edit.
export const source: string = `-- A part of other scripts: who may write a partition, and how far it has come.
--
-- A fence reads "epoch token owner", a position "epoch sequence branch": both are ordered by their two numbers.
-- These stay below 2^53, so Lua's numbers hold them exactly.

local function is_newer(text, than)
  local epoch, number = string.match(text, '^(%d+) (%d+) ')
  local than_epoch, than_number = string.match(than, '^(%d+) (%d+) ')
  epoch, than_epoch = tonumber(epoch), tonumber(than_epoch)
  return epoch > than_epoch or (epoch == than_epoch and tonumber(number) > tonumber(than_number))
end

-- An older position is that of a call that comes late: it says less than what is stored.
local function store_position(progress_key, partition, position)
  local field = 'position ' .. partition
  local held = redis.call('HGET', progress_key, field)
  if held and not is_newer(position, held) then return end
  -- A full Redis refuses HSET, but not after a write that it cannot refuse; and deletes have to get in to make room.
  redis.call('HDEL', progress_key, field)
  redis.call('HSET', progress_key, field, position)
end
`
