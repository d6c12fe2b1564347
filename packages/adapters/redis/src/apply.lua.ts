// Generated from apply.lua by `pnpm generate`: do not edit.
export const source: string = `-- Applies those changes that are newer than what is held, with their bookkeeping. (With partition.lua and sums.lua.)
--   KEYS[1] rows   KEYS[2] fences   KEYS[3] sums, or fences once more where no sums are kept
--   KEYS[4 …] the data key of each change
--   ARGV[1] partition and group
--   ARGV[2] fence
--   ARGV[3] 'same': the fence must be the stored one; 'newest': none newer may be stored, and it is stored
--   ARGV[4] position, or '' where positions are stored elsewhere   ARGV[5] calls confirmed so far
--   ARGV[6] type of data keys: 'string' or 'hash'
--   then for each change: record, number of parts, parts: none for a delete, the string, or fields and contents
-- Returns {'fenced', stored fence or ''}, {'rolled back'}, or {'done', confirmed calls, outcome …}:
--   'applied', 'stale', 'taken <entity key>' (by another entity), 'type <type>' (of what is there instead)
--
-- Scripts are not rolled back. So everything that can be wrong with a change is looked at before the first write,
-- and bookkeeping is written last: a script that is stopped half-way has written data that is written again.
local rows_key, fences_key, sums_key, first_data_key = KEYS[1], KEYS[2], KEYS[3], 4
local partition, fence, fence_rule, position = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local confirmed, data_type, first_change = tonumber(ARGV[5]), ARGV[6], 7
local fence_field = 'fence ' .. partition
local partition_number = tonumber(string.match(partition, '^%d+'))

-- unpack fails at about 8,000 values. An even number keeps pairs together.
local CHUNK = 3000
-- Where the entity's key begins in a record.
local ENTITY_KEY = 26

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

local function judge(data_key, record, held)
  -- Nobody but a stranger writes a shorter record; it is as none.
  if held and #held >= ENTITY_KEY - 1 then
    local holder = string.sub(held, ENTITY_KEY)
    if holder ~= string.sub(record, ENTITY_KEY) then return 'taken ' .. holder end
    local epoch, sequence = struct.unpack('>I6I6', record)
    local held_epoch, held_sequence = struct.unpack('>I6I6', held)
    if epoch < held_epoch or (epoch == held_epoch and sequence <= held_sequence) then return 'stale' end
  end
  local found = redis.call('TYPE', data_key)['ok']
  if found ~= 'none' and found ~= data_type then return 'type ' .. found end
  return 'applied'
end

local held_fence, held_position, calls = read_partition(fences_key, partition)
local may_write = held_fence == fence
if fence_rule == 'newest' and not may_write then may_write = not held_fence or is_newer(fence, held_fence) end
if not may_write then return { 'fenced', held_fence or '' } end
if calls < confirmed then return { 'rolled back' } end

local held = held_records()
local reply, records, removed, strings, hashes, sums = { 'done', '0' }, {}, {}, {}, {}, {}
local at = first_change
for index = first_data_key, #KEYS do
  local data_key, record, parts = KEYS[index], ARGV[at], tonumber(ARGV[at + 1])
  local first, last = at + 2, at + 1 + parts
  local outcome = judge(data_key, record, held[data_key])
  if outcome == 'applied' then
    add_to_sums(sums, partition_number, held[data_key], -1)
    add_to_sums(sums, partition_number, record, 1)
    -- Another entity of this batch may be given the same data key.
    held[data_key] = record
    records[#records + 1] = data_key
    records[#records + 1] = record
    if parts == 0 then
      removed[#removed + 1] = data_key
    elseif data_type == 'string' then
      strings[#strings + 1] = data_key
      strings[#strings + 1] = ARGV[first]
    else
      hashes[#hashes + 1] = { data_key, first, last }
    end
  end
  reply[#reply + 1] = outcome
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
call_in_chunks(records, 1, #records, 'HSET', rows_key)
if sums_key ~= fences_key then keep_sums(sums_key, sums) end
if held_fence ~= fence then redis.call('HSET', fences_key, fence_field, fence) end
if position ~= '' then
  reply[2] = store_progress(fences_key, partition, held_position, position, calls)
end
return reply
`
