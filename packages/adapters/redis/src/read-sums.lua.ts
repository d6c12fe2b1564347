// Generated from read-sums.lua by `pnpm generate`: do not edit.
export const source: string = `-- Reads the kept sums of a partition.
--   KEYS[1] sums
-- Returns {field, sum, …}, where fields are "bucket high" and "bucket low".
return redis.call('HGETALL', KEYS[1])
`
