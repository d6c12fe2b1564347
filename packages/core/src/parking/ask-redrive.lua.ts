// Generated from ask-redrive.lua by `pnpm generate`: do not edit.
export const source: string = `-- Asks the owner of the partition to feed keys back to the sink, or takes that back. The owner sees it at its next heartbeat.
--   KEYS[1] group  KEYS[2] parked keys
--   ARGV[1] ask or withdraw  ARGV[2…] fields (collection and key)
-- Returns how many of them are parked.
local markers = {}
for at = 2, #ARGV do
  local stored = redis.call('HGET', KEYS[2], ARGV[at])
  if stored and stored ~= '' then markers[#markers + 1] = { ARGV[at], cjson.decode(stored) } end
end
-- A first write that a full Redis does not refuse: what is fed back makes room.
redis.call('HDEL', KEYS[1], '')
for _, each in ipairs(markers) do
  local field, marker = each[1], each[2]
  marker.redrive = ARGV[1] == 'ask' and '1' or nil
  redis.call('HSET', KEYS[2], field, cjson.encode(marker))
end
redis.call('HINCRBY', KEYS[1], 'redrives', 1)
return #markers
`
