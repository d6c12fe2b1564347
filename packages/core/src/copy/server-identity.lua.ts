// Generated from server-identity.lua by `pnpm generate`: do not edit.
export const source: string = `-- Which server answers for a partition. Runs behind epoch.lua.
--   KEYS[1] header
-- Returns its replication id; '' where the user may not call INFO.
redis.call('EXISTS', KEYS[1])
return replication_id()
`
