// Generated from purge-results.lua by `pnpm generate`: do not edit.
export const source: string = `-- Lets idempotency records go that are older than their window, where no append has come by to do it.
--   KEYS[1] header  KEYS[2], KEYS[3] results
--   ARGV[1] window, ms   ARGV[2] 1 to only count
-- Returns how many records went, or would go. Runs behind epoch.lua.
local now = tonumber(now_ms())
local rotation = redis.call('HMGET', KEYS[1], 'results', 'results-since')
if not rotation[1] or now - tonumber(rotation[2]) <= tonumber(ARGV[1]) then return 0 end
-- What is in the other one was written before the present one was begun; it becomes the present one.
local other = 1 - tonumber(rotation[1])
local records = math.max(0, redis.call('HLEN', KEYS[2 + other]) - 1)
if ARGV[2] == '1' then return records end
redis.call('UNLINK', KEYS[2 + other])
redis.call('HSET', KEYS[2 + other], '', '')
redis.call('HSET', KEYS[1], 'results', other, 'results-since', string.format('%d', now))
return records
`
