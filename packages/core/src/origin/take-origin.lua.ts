// Generated from take-origin.lua by `pnpm generate`: do not edit.
export const source: string = `-- Takes an origin over, or renews what is still ours: gives it the next token, a number and a mark that nobody else has.
--   KEYS[1] origins of the namespace
--   ARGV[1] name  ARGV[2] mark of whoever takes it  ARGV[3] the token that must still hold, '' to take it from anybody
--   ARGV[4] a number that is too low  ARGV[5…] collections that it feeds
-- Returns {'taken', token, progress} or {'fenced'} or {'fed', collection, by which origin}.
local key, name, mark = KEYS[1], ARGV[1], ARGV[2]
local held = redis.call('HGET', key, 'token:' .. name) or ''
local number, held_mark = string.match(held, '^(%d+)%.(.+)$')
-- Nobody else has our mark: when it is there with a number that is not too low, an earlier call took place, and only its
-- reply was lost.
if held_mark ~= mark or tonumber(number) <= tonumber(ARGV[4]) then
  if ARGV[3] ~= '' and held ~= ARGV[3] and held_mark ~= mark then return { 'fenced' } end
  for at = 5, #ARGV do
    local feeder = redis.call('HGET', key, 'collection:' .. ARGV[at])
    if feeder and feeder ~= name then return { 'fed', ARGV[at], feeder } end
  end
  held = string.format('%d.', math.max(tonumber(number or '0'), tonumber(ARGV[4])) + 1) .. mark
  redis.call('HSET', key, 'token:' .. name, held)
  for at = 5, #ARGV do redis.call('HSET', key, 'collection:' .. ARGV[at], name) end
end
return { 'taken', held, redis.call('HGET', key, 'progress:' .. name) or '' }
`
