// Generated from replace.lua by `pnpm generate`: do not edit.
export const source: string = `-- Puts one change in place of exactly what was seen, whatever the stamps say. (With mark.lua and sums.lua.)
--   KEYS[1] rows   KEYS[2] data key   KEYS[3] sums, or rows once more where no sums are kept
--   ARGV[1] type of data keys: 'string' or 'hash'
--   ARGV[2] mark of what was seen, or '' for nothing   ARGV[3] record, or '' to forget the key
--   ARGV[4] partition   ARGV[5 …] none for a delete, the string, or fields and contents
-- Returns 'replaced', 'changed', or 'type <type>' of what stands in the data key instead.
local rows_key, data_key, data_type, mark, record = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]

local held = redis.call('HGET', rows_key, data_key)
local parts, found = parts_of(data_key, data_type)
local held_mark = ''
if held then held_mark = mark_of(held, parts, found) end
if held_mark ~= mark then return 'changed' end
if not held and found ~= 'none' and found ~= data_type then return 'type ' .. found end

-- What a stranger put there in place of our value has been seen, so it may go. Bookkeeping is written last.
if #ARGV < 5 then
  redis.call('DEL', data_key)
elseif data_type == 'string' then
  redis.call('SET', data_key, ARGV[5])
else
  redis.call('DEL', data_key)
  for from = 5, #ARGV, 3000 do redis.call('HSET', data_key, unpack(ARGV, from, math.min(from + 2999, #ARGV))) end
end
local sums = {}
add_to_sums(sums, tonumber(ARGV[4]), held, -1)
add_to_sums(sums, tonumber(ARGV[4]), record, 1)
if record == '' then redis.call('HDEL', rows_key, data_key) else redis.call('HSET', rows_key, data_key, record) end
if KEYS[3] ~= rows_key then keep_sums(KEYS[3], sums) end
return 'replaced'
`
