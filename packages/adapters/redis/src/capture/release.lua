-- Lets keys expire by this server's clock again: takes off what held their times back. Repeating it is harmless.
--   KEYS keys   ARGV[1] what was added to times, in ms
local hold = tonumber(ARGV[1])
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
for _, key in ipairs(KEYS) do
  local at = redis.pcall('PEXPIRETIME', key)
  -- Before Redis 7.0.
  if type(at) == 'table' then
    local left = redis.call('PTTL', key)
    at = left < 0 and left or now_ms + left
  end
  if at >= hold and at < 2 * hold then redis.call('PEXPIREAT', key, string.format('%.0f', at - hold)) end
  if redis.call('TYPE', key).ok == 'hash' then
    local fields = redis.call('HKEYS', key)
    for from = 1, #fields, 1000 do
      local to = math.min(from + 999, #fields)
      local times = redis.pcall('HPEXPIRETIME', key, 'FIELDS', to - from + 1, unpack(fields, from, to))
      -- Before Redis 7.4, and on Valkey 8, fields do not expire.
      if times.err then break end
      for index, time in ipairs(times) do
        if time >= hold then
          redis.call('HPEXPIREAT', key, string.format('%.0f', time - hold), 'FIELDS', 1, fields[from + index - 1])
        end
      end
    end
  end
end
