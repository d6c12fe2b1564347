-- What the state keeps of some keys, heads and values of the same moment.
--   KEYS[1] heads  KEYS[2] values, where the collection keeps them
--   ARGV[1…] keys
-- Returns {head, value, head, value, …}, each or both of them false.
local reply = {}
for from = 1, #ARGV, 1000 do
  local to = math.min(from + 999, #ARGV)
  local heads = redis.call('HMGET', KEYS[1], unpack(ARGV, from, to))
  local values = KEYS[2] and redis.call('HMGET', KEYS[2], unpack(ARGV, from, to)) or {}
  for at = 1, #heads do
    reply[#reply + 1] = heads[at]
    reply[#reply + 1] = values[at] or false
  end
end
return reply
