// Generated from memory-limit.lua by `pnpm generate`: do not edit.
export const source: string = `-- A part of other scripts: whether a partition's stream takes as much memory as its header allows, where it does say.
-- Redis estimates from some entries; asking takes about as long as reading one of them.
local function at_memory_limit(max, log_key)
  if not max then return false end
  return (redis.call('MEMORY', 'USAGE', log_key, 'SAMPLES', 16) or 0) >= tonumber(max)
end
`
