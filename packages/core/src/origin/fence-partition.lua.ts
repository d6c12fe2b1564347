// Generated from fence-partition.lua by `pnpm generate`: do not edit.
export const source: string = `-- Lets nothing of an older token of an origin into a partition any more.
--   KEYS[1] header  KEYS[2] origins of the partition
--   ARGV[1] name  ARGV[2] token
-- Returns the token that the partition holds then: another one where that is as new or newer. '' when the partition is
-- gone.
if redis.call('EXISTS', KEYS[1]) == 0 then return '' end
local held = string.match(redis.call('HGET', KEYS[2], ARGV[1]) or '', '^%S+')
if held == ARGV[2] then return held end
if held and tonumber(string.match(held, '^%d+')) >= tonumber(string.match(ARGV[2], '^%d+')) then return held end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' 0')
return ARGV[2]
`
