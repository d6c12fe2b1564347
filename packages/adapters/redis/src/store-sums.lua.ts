// Generated from store-sums.lua by `pnpm generate`: do not edit.
export const source: string = `-- Keeps other sums of a partition, where a recount came to them.
--   KEYS[1] sums
--   ARGV[1 …] field, sum, …
-- Returns 'stored'.
redis.call('DEL', KEYS[1])
if #ARGV > 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
return 'stored'
`
