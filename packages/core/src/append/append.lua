-- Appends one batch of requests to a partition. A request is one or more changes that enter together or not at all.
-- Runs behind epoch.lua and publish.lua. Everything is validated before the first write, because Redis does not roll
-- scripts back; the first write is one that a full Redis refuses, because the later ones are then no longer refused.
--
--   KEYS[1] header  KEYS[2] log  KEYS[3] producers  KEYS[4], KEYS[5] results
--   KEYS[6…]        digests, then state buckets ("slots")
--   ARGV[1] producer         ARGV[2] its batch number, rising
--   ARGV[3] changes          ARGV[4] changes of each request, '' when it is one everywhere
--   ARGV[5] types, a line each ("products@1")   ARGV[6] type of each change from 0, '' when there is one
--   ARGV[7] operations, a letter a change: p put, d delete, e event
--   ARGV[8] slot of each change, a character from '!' on
--   ARGV[9] slots, six characters each: digest from '!' on, bucket from '!' on, what the state keeps (v values,
--           n versions, - nothing: then the slot's key is not looked at), schema version in three of 7 bits each
--   ARGV[10] content hashes, nine characters of 7 bits each
--   ARGV[11] expectations "change word[ number epoch];…", words: absent, exists, version
--   ARGV[12] metadata, a line each   ARGV[13] metadata of each change from 1 (0 none), '' when there is none
--   ARGV[14] how long results are kept, ms
--   ARGV[15] payloads: 'each' one argument a change, 'joined' all in one argument, a line each
--   ARGV[16] trace contexts, a line each   ARGV[17] trace context of each change, as for metadata
--   ARGV[18] events that bring the folded state of their key, by number, in order
--   ARGV[19…] keys, payloads, folded states, then pairs of request and idempotency field
--
-- Returns the result, as text that is also kept for a repeated batch: "epoch first time|versions|exceptions", where
-- exceptions are "request conflict change number epoch live;" or "request duplicate epoch first versions;".
-- Or the words 'superseded' (a later batch of this producer was stored: this is an echo) and 'missing' (what must
-- exist does not).

local call, byte, sub, concat, format = redis.call, string.byte, string.sub, table.concat, string.format
local pack, unpack_record = struct.pack, struct.unpack
local producer, number = ARGV[1], tonumber(ARGV[2])

local last = call('HGET', KEYS[3], producer)
if last then
  local last_number = tonumber(string.match(last, '^%d+'))
  if last_number == number then
    -- Written once more, because WAIT only waits for what its own connection has written; by way of a delete, which a
    -- full Redis does not refuse: the batch is stored, and its retry must be told so.
    call('HDEL', KEYS[3], producer)
    call('HSET', KEYS[3], producer, last)
    return sub(last, #ARGV[2] + 2)
  end
  if last_number > number then return 'superseded' end
end

local server_id = replication_id()
local epoch, sequence, opens = read_header(KEYS[1], server_id)
if not epoch then return 'missing' end

local changes = tonumber(ARGV[3])
local operations, slot_of, slots, hashes = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local slot_count = #slots / 6
local first_slot = #KEYS - slot_count
local first_key, first_payload = 18, 18 + changes
local each = ARGV[15] == 'each'
local first_pair = first_payload + (each and changes or 1)
local folded = {}
for change in string.gmatch(ARGV[18], '%d+') do
  first_pair = first_pair + 1
  folded[tonumber(change)] = ARGV[first_pair]
end

-- What the state holds of every key: one HMGET a slot. The empty field proves that the bucket itself is there.
local held, fields, filled = {}, {}, {}
for slot = 1, slot_count do fields[slot], filled[slot] = { '' }, 1 end
for change = 1, changes do
  local slot = byte(slot_of, change) - 32
  local at = filled[slot] + 1
  filled[slot] = at
  fields[slot][at] = ARGV[first_key + change]
end
local kept = {}
for slot = 1, slot_count do
  kept[slot] = byte(slots, slot * 6 - 3)
  if kept[slot] == 45 then
    held[slot] = {}
  else
    held[slot] = call('HMGET', KEYS[first_slot + slot], unpack(fields[slot]))
    if held[slot][1] ~= '' then return 'missing' end
  end
end

-- Verdicts. Without expectations and idempotency keys there is nothing to refuse, and this costs nothing.
local refused, exceptions, refusals = nil, {}, 0
local remember, remember_count = {}, 0
if ARGV[11] ~= '' or #ARGV > first_pair then
  refused = {}
  local expected = {}
  for change, word, rest in string.gmatch(ARGV[11], '(%d+) (%a+)([^;]*);') do
    expected[tonumber(change)] = { word, string.match(rest, '(%d+) (%d+)') }
  end

  local field_of, stored = {}, {}
  for at = first_pair + 1, #ARGV, 2 do
    local field = ARGV[at + 1]
    field_of[tonumber(ARGV[at])] = field
    stored[field] = call('HGET', KEYS[4], field) or call('HGET', KEYS[5], field) or nil
  end

  local at_of, seen = {}, {}
  for slot = 1, slot_count do filled[slot], seen[slot] = 1, {} end
  for change = 1, changes do
    local slot = byte(slot_of, change) - 32
    filled[slot] = filled[slot] + 1
    at_of[change] = filled[slot]
  end

  local verdict = function(request, from, to)
    local field = field_of[request]
    if field and stored[field] then
      exceptions[#exceptions + 1] = request .. ' duplicate ' .. stored[field] .. ';'
      return false
    end
    local written = {}
    for change = from, to do
      local slot, key = byte(slot_of, change) - 32, ARGV[first_key + change]
      local mark = slot .. ' ' .. key
      local at = written[mark] or seen[slot][key]
      if not at then
        local record = held[slot][at_of[change]]
        if record then
          local record_epoch, _, record_version = unpack_record('>I4I6I6', record)
          at = { record_version, record_epoch, byte(record, 26) ~= 2 }
        else
          at = { 0, 0, false }
        end
      end
      local want = expected[change]
      if want then
        local fits
        if want[1] == 'absent' then fits = not at[3]
        elseif want[1] == 'exists' then fits = at[3]
        else fits = tonumber(want[2]) == at[1] and tonumber(want[3]) == at[2] end
        if not fits then
          exceptions[#exceptions + 1] = concat({ request, 'conflict', change, at[1], at[2], at[3] and 1 or 0 }, ' ') .. ';'
          return false
        end
      end
      written[mark] = { at[1] + 1, epoch, byte(operations, change) ~= 100 }
      if change == to then
        for seen_mark, state in pairs(written) do
          local seen_slot, seen_key = string.match(seen_mark, '^(%d+) (.*)$')
          seen[tonumber(seen_slot)][seen_key] = state
        end
      end
    end
    if field then
      -- A second request of this batch with the same key gets this one's result, which is known only further down.
      stored[field] = '#' .. request
      remember_count = remember_count + 1
      remember[request] = field
    end
    return true
  end

  local from, request = 1, 0
  local take = function(size)
    request = request + 1
    if not verdict(request, from, from + size - 1) then
      refusals = refusals + size
      for change = from, from + size - 1 do refused[change] = true end
    end
    from = from + size
  end
  if ARGV[4] == '' then
    for _ = 1, changes do take(1) end
  else
    for size in string.gmatch(ARGV[4], '%d+') do take(tonumber(size)) end
  end
end

-- The new records, versions and digest differences.
local count = 0
local versions, writes, high, low, latest = {}, {}, {}, {}, {}
local keys, payloads, kept_operations, types_of, metadata_of, traces_of
local partial = refusals > 0
local version_of = remember_count > 0 and {} or nil
if partial then keys, payloads, kept_operations, types_of, metadata_of, traces_of = {}, {}, {}, {}, {}, {} end
local lines, type_indexes, metadata_indexes, trace_indexes
if partial then
  if not each then
    lines = {}
    for line in string.gmatch(ARGV[first_payload + 1] .. '\n', '([^\n]*)\n') do lines[#lines + 1] = line end
  end
  if ARGV[6] ~= '' then
    type_indexes = {}
    for index in string.gmatch(ARGV[6], '%d+') do type_indexes[#type_indexes + 1] = index end
  end
  if ARGV[13] ~= '' then
    metadata_indexes = {}
    for index in string.gmatch(ARGV[13], '%d+') do metadata_indexes[#metadata_indexes + 1] = index end
  end
  if ARGV[17] ~= '' then
    trace_indexes = {}
    for index in string.gmatch(ARGV[17], '%d+') do trace_indexes[#trace_indexes + 1] = index end
  end
end
local schema_versions = {}
for slot = 1, slot_count do
  filled[slot], writes[slot], high[slot], low[slot], latest[slot] = 1, {}, 0, 0, {}
  local v1, v2, v3 = byte(slots, slot * 6 - 2, slot * 6)
  schema_versions[slot] = (v1 * 128 + v2) * 128 + v3
end
-- In a state record: 1 put, 2 delete, 3 event.
local operation_codes = { [112] = 1, [100] = 2, [101] = 3 }
for change = 1, changes do
  local slot = byte(slot_of, change) - 32
  local at = filled[slot] + 1
  filled[slot] = at
  if not (refused and refused[change]) then
    count = count + 1
    local key = ARGV[first_key + change]
    local version = 1
    if kept[slot] == 45 then
      -- Nothing is kept that could be counted on: the sequence rises too.
      version = format('%d', sequence + count)
    else
      local record = latest[slot][key] or held[slot][at]
      local h1, h2, h3, h4, l1, l2, l3, l4, l5 = byte(hashes, change * 9 - 8, change * 9)
      local hash_high = ((h1 * 128 + h2) * 128 + h3) * 128 + h4
      local hash_low = (((l1 * 128 + l2) * 128 + l3) * 128 + l4) * 128 + l5
      high[slot], low[slot] = high[slot] + hash_high, low[slot] + hash_low
      if record then
        local _, _, old_version, old_high, old_low = unpack_record('>I4I6I6I4I5', record)
        version = old_version + 1
        high[slot], low[slot] = high[slot] - old_high, low[slot] - old_low
      end
      local operation = byte(operations, change)
      record = pack(
        '>I4I6I6I4I5BI2', epoch, sequence + count, version, hash_high, hash_low,
        operation_codes[operation], schema_versions[slot]
      )
      if kept[slot] == 118 then
        if operation == 112 then record = record .. ARGV[first_payload + change]
        elseif operation == 101 then record = record .. (folded[change] or '') end
      end
      latest[slot][key] = record
      local write = writes[slot]
      local next_write = #write
      write[next_write + 1], write[next_write + 2] = key, record
    end
    versions[count] = version
    if version_of then version_of[change] = version end
    if partial then
      keys[count] = key
      payloads[count] = each and ARGV[first_payload + change] or lines[change]
      kept_operations[count] = sub(operations, change, change)
      if type_indexes then types_of[count] = type_indexes[change] end
      if metadata_indexes then metadata_of[count] = metadata_indexes[change] end
      if trace_indexes then traces_of[count] = trace_indexes[change] end
    end
  end
end

-- Results to remember, and the answer to requests that repeat one of this very batch.
local first = format('%d', sequence + 1)
local remembered = {}
if remember_count > 0 then
  local from, request, offset = 1, 0, 0
  local result_of = {}
  local note = function(size)
    request = request + 1
    if not refused[from] then
      if remember[request] then
        local of_request = {}
        for change = from, from + size - 1 do of_request[#of_request + 1] = version_of[change] end
        local result = epoch .. ' ' .. format('%d', sequence + 1 + offset) .. ' ' .. concat(of_request, ' ')
        result_of['#' .. request] = result
        remembered[#remembered + 1] = remember[request]
        remembered[#remembered + 1] = result
      end
      offset = offset + size
    end
    from = from + size
  end
  if ARGV[4] == '' then
    for _ = 1, changes do note(1) end
  else
    for size in string.gmatch(ARGV[4], '%d+') do note(tonumber(size)) end
  end
  for at, exception in ipairs(exceptions) do
    exceptions[at] = string.gsub(exception, '(#%d+)', result_of)
  end
end

local now = now_ms()
local version_text = concat(versions, ' ')
local result = epoch .. ' ' .. first .. ' ' .. now .. '|' .. version_text .. '|' .. concat(exceptions)

if count > 0 then
  local last_sequence = format('%d', sequence + count)
  local entry = {
    'first', first, 'time', now, 'types', ARGV[5],
    'operations', partial and concat(kept_operations) or operations,
    'versions', version_text,
    'keys', partial and concat(keys, '\n') or concat(ARGV, '\n', first_key + 1, first_key + changes),
    'payloads', partial and concat(payloads, '\n')
      or (each and concat(ARGV, '\n', first_payload + 1, first_payload + changes) or ARGV[first_payload + 1]),
  }
  if ARGV[6] ~= '' then
    entry[#entry + 1] = 'type-of'
    entry[#entry + 1] = partial and concat(types_of, ' ') or ARGV[6]
  end
  if ARGV[13] ~= '' then
    local at = #entry
    entry[at + 1], entry[at + 2] = 'metadata', ARGV[12]
    entry[at + 3], entry[at + 4] = 'metadata-of', partial and concat(metadata_of, ' ') or ARGV[13]
  end
  if ARGV[17] ~= '' then
    local at = #entry
    entry[at + 1], entry[at + 2] = 'traces', ARGV[16]
    entry[at + 3], entry[at + 4] = 'traces-of', partial and concat(traces_of, ' ') or ARGV[17]
  end
  call('XADD', KEYS[2], epoch .. '-' .. last_sequence, unpack(entry))
  call('HSET', KEYS[1], 'sequence', last_sequence)
  if opens then open_epoch(KEYS[1], server_id, epoch, sequence, now) end
  local sums, sum = {}, 0
  for slot = 1, slot_count do
    local write = writes[slot]
    if #write > 0 then
      call('HSET', KEYS[first_slot + slot], unpack(write))
      local digest, lane = byte(slots, slot * 6 - 5) - 32, 2 * (byte(slots, slot * 6 - 4) - 33)
      local operations_of = sums[digest]
      if not operations_of then operations_of = {} sums[digest] = operations_of end
      sum = #operations_of
      operations_of[sum + 1], operations_of[sum + 2] = 'INCRBY', 'i64'
      operations_of[sum + 3], operations_of[sum + 4] = '#' .. lane, format('%.0f', high[slot])
      operations_of[sum + 5], operations_of[sum + 6] = 'INCRBY', 'i64'
      operations_of[sum + 7], operations_of[sum + 8] = '#' .. (lane + 1), format('%.0f', low[slot])
    end
  end
  for digest, operations_of in pairs(sums) do call('BITFIELD', KEYS[5 + digest], unpack(operations_of)) end
  publish(KEYS[1], KEYS[2], epoch .. '-' .. last_sequence, entry)
end

call('HSET', KEYS[3], producer, ARGV[2] .. ' ' .. result)

if #remembered > 0 then
  local rotation = call('HMGET', KEYS[1], 'results', 'results-since')
  local current = tonumber(rotation[1])
  if tonumber(now) - tonumber(rotation[2]) > tonumber(ARGV[14]) then
    current = 1 - current
    call('UNLINK', KEYS[4 + current])
    call('HSET', KEYS[4 + current], '', '')
    call('HSET', KEYS[1], 'results', current, 'results-since', now)
  end
  call('HSET', KEYS[4 + current], unpack(remembered))
end

return result
