// Generated from publish-version.lua by `pnpm generate`: do not edit.
export const source: string = `-- Shows readers the next version, unless that was done, or a later one is shown by now.
--   KEYS[1] pointer
--   ARGV[1] the version before, '' where none is shown   ARGV[2] the version
-- Returns {the version that is shown}.
local shown = redis.call('GET', KEYS[1])
if (shown or '') ~= ARGV[1] then return { shown or '' } end
redis.call('SET', KEYS[1], ARGV[2])
return { ARGV[2] }
`
