// Generated from read.lua by `pnpm generate`: do not edit.
export const source: string = `-- Reads rows together with their values, so that no write comes between the two. (With row.lua and mark.lua.)
--   KEYS[1] rows   KEYS[2 …] data keys
--   ARGV[1] type of data keys: 'string' or 'hash'
-- Returns for each data key {row, mark, parts …}: the string, or fields and contents; no parts where there is nothing
-- or something of another type. {} where there is no record.
local rows_key, data_type = KEYS[1], ARGV[1]

local reply = {}
for index = 2, #KEYS do
  local record = redis.call('HGET', rows_key, KEYS[index])
  local entry = {}
  if record then
    local found
    entry, found = parts_of(KEYS[index], data_type)
    local mark = mark_of(record, entry, found)
    table.insert(entry, 1, row_text(record))
    table.insert(entry, 2, mark)
  end
  reply[#reply + 1] = entry
end
return reply
`
