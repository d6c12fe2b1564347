// Generated from prepare.lua by `pnpm generate`: do not edit.
export const source: string = `-- Notes how this sink lays out its data, unless one has done so before.
--   KEYS[1] progress
--   ARGV[1] layout; '' only looks
-- Returns {the layout that is noted, or ''}.
local progress_key, layout = KEYS[1], ARGV[1]

local held = redis.call('HGET', progress_key, 'layout')
if held or layout == '' then return { held or '' } end
redis.call('HSET', progress_key, 'layout', layout)
return { layout }
`
