// Generated from forget-group.lua by `pnpm generate`: do not edit.
export const source: string = `-- Forgets how far a group was: fence, position and count of its partitions.
--   KEYS[1] progress
--   ARGV[1] group   ARGV[2] how many partitions
-- Returns {'done'}.
for partition = 0, tonumber(ARGV[2]) - 1 do
  local name = partition .. ' ' .. ARGV[1]
  redis.call('HDEL', KEYS[1], 'fence ' .. name, 'position ' .. name, 'calls ' .. name)
end
return { 'done' }
`
