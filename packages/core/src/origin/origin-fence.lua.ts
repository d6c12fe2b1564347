// Generated from origin-fence.lua by `pnpm generate`: do not edit.
export const source: string = `-- A part before append.lua, for a batch that an origin brings: nothing older than what the partition has of it gets in.
--   the last of KEYS  origins of the partition
--   the last of ARGV  "name token position"
-- Both are taken off before append.lua counts what is left. Returns 'fenced' where the origin was taken over, or the
-- position lies before one that was reached.
local origins_key = table.remove(KEYS)
local origin_name, origin_token, origin_position = string.match(table.remove(ARGV), '^(%S+) (%S+) (%d+)$')
local held_token, held_position = string.match(redis.call('HGET', origins_key, origin_name) or '0. 0', '^(%S+) (%d+)$')
if held_token == origin_token then
  if tonumber(held_position) > tonumber(origin_position) then return 'fenced' end
elseif tonumber(string.match(held_token, '^%d+')) >= tonumber(string.match(origin_token, '^%d+')) then
  return 'fenced'
end
-- Before the batch is judged: what was reached stays so, whatever becomes of the batch. A full Redis refuses this write.
redis.call('HSET', origins_key, origin_name, origin_token .. ' ' .. origin_position)
`
