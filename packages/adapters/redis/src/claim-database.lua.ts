// Generated from claim-database.lua by `pnpm generate`: do not edit.
export const source: string = `-- Makes an empty database the place of a version, unless it is.
--   KEYS[1] version
--   ARGV[1] the version
-- Returns {'done'}, {'other', version} where it holds another one, or {'taken', number of keys} where it holds anything else.
local held = redis.call('GET', KEYS[1])
if held == ARGV[1] then return { 'done' } end
if held then return { 'other', held } end
local keys = redis.call('DBSIZE')
if keys > 0 then return { 'taken', tostring(keys) } end
redis.call('SET', KEYS[1], ARGV[1])
return { 'done' }
`
