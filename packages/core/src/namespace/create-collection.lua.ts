// Generated from create-collection.lua by `pnpm generate`: do not edit.
export const source: string = `-- Creates the state and digest of a collection in one partition.
--   KEYS[1] header  KEYS[2] digest  KEYS[3…] heads and values of each bucket
--   ARGV[1] buckets
-- Returns 'created', or 'missing' when the partition has no header.
if redis.call('EXISTS', KEYS[1]) == 0 then return 'missing' end
-- The empty field stands for nobody: entity keys are never empty. What it holds is too long for a listpack (64 bytes unless
-- configured), in which Redis looks for a field from the beginning, half of up to 512 for each key of each append.
local nobody = 'Stands for nobody, and keeps this hash out of the compact encoding, which is slow to search.'
for i = 3, #KEYS do redis.call('HSETNX', KEYS[i], '', nobody) end
redis.call('BITFIELD', KEYS[2], 'INCRBY', 'i64', '#' .. (2 * ARGV[1] - 1), 0)
return 'created'
`
