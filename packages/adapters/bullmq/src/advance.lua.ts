// Generated from advance.lua by `pnpm generate`: do not edit.
export const source: string = `-- Stores a position, if the partition is still ours. (With partition.lua.)
--   KEYS[1] books of the partition
--   ARGV[1] group   ARGV[2] fence   ARGV[3] position   ARGV[4] calls confirmed so far
-- Returns {'done', confirmed calls}, {'fenced', stored fence or ''} or {'rolled back'}.
local books_key = KEYS[1]
local group, fence, position, confirmed = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local held = redis.call('HMGET', books_key, 'fence ' .. group, 'calls ' .. group)
if held[1] ~= fence then return { 'fenced', held[1] or '' } end
local calls = tonumber(held[2] or '0')
if calls < confirmed then return { 'rolled back' } end
return { 'done', store_progress(books_key, group, position, calls) }
`
