// Generated from open.lua by `pnpm generate`: do not edit.
export const source: string = `-- Takes a partition: stores the fence unless a newer one is stored, and reads how far it is. (With partition.lua.)
--   KEYS[1] lineage of the log whose changes the queue gets   KEYS[2] books of the partition
--   ARGV[1] lineage   ARGV[2] group   ARGV[3] fence
-- Returns {'opened', position or '', confirmed calls}, {'fenced', stored fence}, or {'foreign', stored lineage}.
local lineage_key, books_key = KEYS[1], KEYS[2]
local lineage, group, fence = ARGV[1], ARGV[2], ARGV[3]
local fence_field = 'fence ' .. group

local held_lineage = redis.call('GET', lineage_key)
if held_lineage and held_lineage ~= lineage then return { 'foreign', held_lineage } end

local held = redis.call('HMGET', books_key, fence_field, 'position ' .. group, 'calls ' .. group)
if held[1] and held[1] ~= fence and not is_newer(fence, held[1]) then return { 'fenced', held[1] } end

redis.call('HDEL', books_key, fence_field)
redis.call('HSET', books_key, fence_field, fence)
if not held_lineage then redis.call('SET', lineage_key, lineage) end
return { 'opened', held[2] or '', held[3] or '0' }
`
