// Generated from write-node.lua by `pnpm generate`: do not edit.
export const source: string = `-- Writes what a node holds of a key, where it still holds what was read.
--   KEYS[1] versions
--   ARGV[1] key   ARGV[2] mark of what was read, '' for nothing   ARGV[3] versions, as canonical JSON
-- Returns 'written' or 'changed'.
local held = redis.call('HGET', KEYS[1], ARGV[1])
local mark = ''
if held then mark = redis.sha1hex(held) end
if mark ~= ARGV[2] then return 'changed' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 'written'
`
