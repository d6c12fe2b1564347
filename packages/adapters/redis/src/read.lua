-- Reads rows together with their values, so that no write comes between the two. (With row.lua.)
--   KEYS[1] rows   KEYS[2 …] data keys
--   ARGV[1] type of data keys: 'string' or 'hash'
-- Returns for each data key {row, parts …}: the string, or fields and contents; no parts where there is nothing
-- or something of another type. {} where there is no record.
local rows_key, data_type = KEYS[1], ARGV[1]

local function parts_of(data_key)
  local found = redis.call('TYPE', data_key)['ok']
  if found ~= data_type then return {} end
  if data_type == 'string' then return { redis.call('GET', data_key) } end
  return redis.call('HGETALL', data_key)
end

local reply = {}
for index = 2, #KEYS do
  local record = redis.call('HGET', rows_key, KEYS[index])
  local entry = {}
  if record then
    entry = parts_of(KEYS[index])
    table.insert(entry, 1, row_text(record))
  end
  reply[#reply + 1] = entry
end
return reply
