-- Stores a position, if the partition is still ours. (With partition.lua.)
--   KEYS[1] progress
--   ARGV[1] partition and group   ARGV[2] fence   ARGV[3] position   ARGV[4] calls confirmed so far
-- Returns {'done', confirmed calls}, {'fenced', stored fence or ''} or {'rolled back'}.
local progress_key = KEYS[1]
local partition, fence, position, confirmed = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local held_fence, held_position, calls = read_partition(progress_key, partition)
if held_fence ~= fence then return { 'fenced', held_fence or '' } end
if calls < confirmed then return { 'rolled back' } end
return { 'done', store_progress(progress_key, partition, held_position, position, calls) }
