-- Applies those changes that are newer than what is held, with their bookkeeping. (With partition.lua and sums.lua.)
--   KEYS[1] rows   KEYS[2] fences   KEYS[3] sums, or fences once more where no sums are kept
--   KEYS[4 …] the data key of each change
--   ARGV[1] partition and group
--   ARGV[2] fence
--   ARGV[3] 'same': the fence must be the stored one; 'newest': none newer may be stored, and it is stored
--   ARGV[4] position, or '' where positions are stored elsewhere   ARGV[5] calls confirmed so far
--   ARGV[6] type of data keys: 'string' or 'hash'
--   then for each change its record, and: the string ('' for a delete), or number of parts, fields and contents
-- Returns {'fenced', stored fence or ''}, {'rolled back'}, or {'done', confirmed calls, a letter for each change, detail …}:
--   a applied, s stale, t taken (detail: by which entity), w wrong type (detail: of what is there instead)
--
-- Scripts are not rolled back. So everything that can be wrong with a change is looked at before the first write,
-- and bookkeeping is written last: a script that is stopped half-way has written data that is written again.
local call, sub, unpack_numbers = redis.call, string.sub, struct.unpack
local rows_key, fences_key, sums_key, first_data_key = KEYS[1], KEYS[2], KEYS[3], 4
local partition, fence, fence_rule, position = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local confirmed, data_type, first_change = tonumber(ARGV[5]), ARGV[6], 7
local fence_field = 'fence ' .. partition
local partition_number = tonumber(string.match(partition, '^%d+'))

-- unpack fails at about 8,000 values. An even number keeps pairs together.
local CHUNK = 3000
-- A record but for the entity's key, and where that begins.
local RECORD = '>I6I6I4I4I2I2B'
local ENTITY_KEY = 26
local APPLIED, STALE, TAKEN, WRONG_TYPE = 'a', 's', 't', 'w'

local function call_in_chunks(values, first, last, command, key)
  for from = first, last, CHUNK do
    local to = math.min(from + CHUNK - 1, last)
    if key then
      redis.call(command, key, unpack(values, from, to))
    else
      redis.call(command, unpack(values, from, to))
    end
  end
end

local function held_records()
  local held = {}
  for from = first_data_key, #KEYS, CHUNK do
    local records = redis.call('HMGET', rows_key, unpack(KEYS, from, math.min(from + CHUNK - 1, #KEYS)))
    for index, record in ipairs(records) do held[KEYS[from + index - 1]] = record end
  end
  return held
end

local sums = {}

-- Counts the row as written, if it may be.
local function judge(data_key, record, held)
  local epoch, sequence, high, low, of, bucket, live = unpack_numbers(RECORD, record)
  -- Nobody but a stranger writes a shorter record; it is as none.
  local is_held = held and #held >= ENTITY_KEY - 1
  local held_epoch, held_sequence, held_high, held_low, held_of, held_bucket, held_live
  if is_held then
    local holder = sub(held, ENTITY_KEY)
    if holder ~= sub(record, ENTITY_KEY) then return TAKEN, holder end
    held_epoch, held_sequence, held_high, held_low, held_of, held_bucket, held_live = unpack_numbers(RECORD, held)
    if epoch < held_epoch or (epoch == held_epoch and sequence <= held_sequence) then return STALE end
  end
  local found = call('TYPE', data_key)['ok']
  if found ~= 'none' and found ~= data_type then return WRONG_TYPE, found end
  if is_held then add_row(sums, partition_number, -1, held_high, held_low, held_of, held_bucket, held_live) end
  add_row(sums, partition_number, 1, high, low, of, bucket, live)
  return APPLIED
end

local held_fence, held_position, calls = read_partition(fences_key, partition)
local may_write = held_fence == fence
if fence_rule == 'newest' and not may_write then may_write = not held_fence or is_newer(fence, held_fence) end
if not may_write then return { 'fenced', held_fence or '' } end
if calls < confirmed then return { 'rolled back' } end

local held = held_records()
local reply, outcomes, records, removed, strings, hashes = { 'done', '0', '' }, {}, {}, {}, {}, {}
local written, at = 0, first_change
for index = first_data_key, #KEYS do
  local data_key, record, content = KEYS[index], ARGV[at], ARGV[at + 1]
  local is_delete, last = content == '', at + 1
  if data_type == 'hash' then
    is_delete, last = content == '0', last + tonumber(content)
  end
  local outcome, detail = judge(data_key, record, held[data_key])
  outcomes[index - first_data_key + 1] = outcome
  if detail then reply[#reply + 1] = detail end
  if outcome == APPLIED then
    -- Another entity of this batch may be given the same data key.
    held[data_key] = record
    records[written + 1], records[written + 2] = data_key, record
    written = written + 2
    if is_delete then
      removed[#removed + 1] = data_key
    elseif data_type == 'string' then
      local count = #strings
      strings[count + 1], strings[count + 2] = data_key, content
    else
      hashes[#hashes + 1] = { data_key, at + 2, last }
    end
  end
  at = last + 1
end

-- A full Redis refuses what makes it grow only as a script's first write. With values to store that is this one,
-- which changes nothing; else it is DEL, which is never refused: deletes get in and make room.
if #strings + #hashes > 0 then redis.call('HSET', fences_key, fence_field, fence) end
call_in_chunks(removed, 1, #removed, 'DEL')
call_in_chunks(strings, 1, #strings, 'MSET')
for _, hash in ipairs(hashes) do
  local data_key, first, last = unpack(hash)
  redis.call('DEL', data_key)
  call_in_chunks(ARGV, first, last, 'HSET', data_key)
end
call_in_chunks(records, 1, written, 'HSET', rows_key)
if sums_key ~= fences_key then keep_sums(sums_key, sums) end
if held_fence ~= fence then redis.call('HSET', fences_key, fence_field, fence) end
if position ~= '' then reply[2] = store_progress(fences_key, partition, held_position, position, calls) end
reply[3] = table.concat(outcomes)
return reply
