-- Stores a position, if the partition is still ours. (With partition.lua.)
--   KEYS[1] progress
--   ARGV[1] partition and group   ARGV[2] fence   ARGV[3] position
-- Returns {'advanced'} or {'fenced', stored fence or ''}.
local progress_key = KEYS[1]
local partition, fence, position = ARGV[1], ARGV[2], ARGV[3]

local held = redis.call('HGET', progress_key, 'fence ' .. partition)
if held ~= fence then return { 'fenced', held or '' } end
store_position(progress_key, partition, position)
return { 'advanced' }
