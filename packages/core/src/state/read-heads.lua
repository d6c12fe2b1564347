-- The heads of the records of some keys, without their values.
--   KEYS[1] state bucket
--   ARGV[1] bytes of a head  ARGV[2…] keys
-- Returns a head for each key, or false.
local records, bytes = redis.call('HMGET', KEYS[1], unpack(ARGV, 2)), tonumber(ARGV[1])
for at = 1, #records do
  if records[at] then records[at] = string.sub(records[at], 1, bytes) end
end
return records
