-- Takes a partition: stores the fence unless a newer one is stored, and reads how far it is. (With partition.lua.)
--   KEYS[1] progress
--   ARGV[1] lineage of the log   ARGV[2] partition and group   ARGV[3] fence
-- Returns {'opened', position or '', confirmed calls}, {'fenced', stored fence}, {'foreign', stored lineage}, or {'switched'}
-- where readers have another version by now.
local progress_key = KEYS[1]
local lineage, partition, fence = ARGV[1], ARGV[2], ARGV[3]
local fence_field = 'fence ' .. partition

local held_lineage = redis.call('HGET', progress_key, 'lineage')
if held_lineage and held_lineage ~= lineage then return { 'foreign', held_lineage } end

if redis.call('HEXISTS', progress_key, 'next') == 1 then return { 'switched' } end
local held_fence, held_position, calls = read_partition(progress_key, partition)
if held_fence and held_fence ~= fence and not is_newer(fence, held_fence) then return { 'fenced', held_fence } end

-- HDEL first, as in store_progress: a full replica must be opened before it can be emptied.
redis.call('HDEL', progress_key, fence_field)
redis.call('HSET', progress_key, 'lineage', lineage, fence_field, fence)
return { 'opened', held_position or '', string.format('%.0f', calls) }
