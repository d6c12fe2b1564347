-- Appends one batch of requests to a partition. A request is one or more changes that enter together or not at all.
-- Runs behind epoch.lua, publish.lua and memory-limit.lua. Everything is validated before the first write, because Redis
-- does not roll scripts back; the first write is one that a full Redis refuses, because the later ones are then no longer
-- refused.
--
-- The client brings what costs Lua most: keys sorted by the hash they are in ("slot"), so that a hash is asked by a
-- stretch of ARGV; heads packed but for stamp and version; the sums of their hashes; and which key comes twice.
--
--   KEYS[1] header  KEYS[2] log  KEYS[3] producers  KEYS[4], KEYS[5] results
--   KEYS[6…]        digests, then the heads of each slot, then the values of each slot
--   ARGV[1] producer         ARGV[2] its batch number, rising
--   ARGV[3] changes          ARGV[4] changes of each request, '' when it is one everywhere
--   ARGV[5] types, a line each ("products@1")   ARGV[6] type of each change from 0, '' when there is one
--   ARGV[7] operations, a letter a change: p put, d delete, e event
--   ARGV[8] keys, a line each
--   ARGV[9] slots, five characters each: digest from '!' on, bucket from '!' on, what the state keeps (v values,
--           n versions, - nothing: then the slot's keys are not looked at), number of changes in two of 7 bits
--   ARGV[10] pieces of heads in the order of slots, 15 characters each: number of the change from 0 in two of 7 bits,
--           content hash in nine, operation, schema version in three
--   ARGV[11] sums of the hashes of each slot: "high low " in turn
--   ARGV[12] keys that come again: "change earlier " in turn, both as numbers in the order of slots
--   ARGV[13] expectations "change word[ number epoch];…", words: absent, exists, version
--   ARGV[14] metadata, a line each   ARGV[15] metadata of each change from 1 (0 none), '' when there is none
--   ARGV[16] how long results are kept, ms
--   ARGV[17] payloads, a line each
--   ARGV[18] trace contexts, a line each   ARGV[19] trace context of each change, as for metadata
--   ARGV[20] events that bring the folded state of their key, by number, in order
--   ARGV[21…] '' and its keys for each slot, folded states, then pairs of request and idempotency field
--
-- A head is epoch and sequence of the batch's first change (6 bytes each), the piece of 15, and the version as decimal
-- text: all but the version is copied, never computed.
--
-- Returns the result, as text that is also kept for a repeated batch: "epoch first time|versions|exceptions", where
-- exceptions are "request conflict change number epoch live;" or "request duplicate epoch first versions;".
-- Or the words 'superseded' (a later batch of this producer was stored: this is an echo), 'full' (the partition is at its
-- memory limit), 'missing' (what must exist does not), and 'forgotten' with the time (what this producer stored last may
-- have been forgotten, so this may be an echo).

local call, byte, char, sub, concat, format = redis.call, string.byte, string.char, string.sub, table.concat, string.format
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
else
  -- Of whom nothing is known, something may have been forgotten. Whoever is younger than all that were forgotten is new.
  local forgotten = call('HGET', KEYS[1], 'producers-forgotten')
  if forgotten and tonumber(string.match(producer, '^(%d+)%.') or '0') < tonumber(forgotten) then
    return 'forgotten ' .. now_ms()
  end
end

local server_id = replication_id()
local epoch, sequence, opens, header = read_header(KEYS[1], server_id, 'lineage', 'bytes-max')
if not epoch then return 'missing' end

local changes = tonumber(ARGV[3])
local slots, pieces = ARGV[9], ARGV[10]
local slot_count = #slots / 5
local first_heads = #KEYS - 2 * slot_count
local payloads = ARGV[17]
local first_key = 20
local first_pair = first_key + changes + slot_count
local folded
for change in string.gmatch(ARGV[20], '%d+') do
  folded = folded or {}
  first_pair = first_pair + 1
  folded[tonumber(change)] = ARGV[first_pair]
end
local earlier
for at, before in string.gmatch(ARGV[12], '(%d+) (%d+) ') do
  earlier = earlier or {}
  earlier[tonumber(at)] = tonumber(before)
end

-- What the state holds of every key: one HMGET a slot. The empty field proves that the hash itself is there.
local kept, size_of, held, values_keys = {}, {}, {}, {}
local from = first_key + 1
for slot = 1, slot_count do
  local _, _, keeps, high, low = byte(slots, slot * 5 - 4, slot * 5)
  local size = high * 128 + low
  kept[slot], size_of[slot] = keeps, size
  if keeps == 45 then
    held[slot] = {}
  else
    local heads = call('HMGET', KEYS[first_heads + slot], unpack(ARGV, from, from + size))
    if not heads[1] then return 'missing' end
    held[slot] = heads
    if keeps == 118 then values_keys[#values_keys + 1] = KEYS[first_heads + slot_count + slot] end
  end
  from = from + size + 1
end
if #values_keys > 0 and call('EXISTS', unpack(values_keys)) < #values_keys then return 'missing' end

-- Verdicts. Without expectations and idempotency keys there is nothing to refuse, and this costs nothing.
local refused, exceptions, refusals = nil, {}, 0
local remember, remember_count = {}, 0
if ARGV[13] ~= '' or #ARGV > first_pair then
  refused = {}
  local expected = {}
  for change, word, rest in string.gmatch(ARGV[13], '(%d+) (%a+)([^;]*);') do
    expected[tonumber(change)] = { word, string.match(rest, '(%d+) (%d+)') }
  end

  local field_of, stored = {}, {}
  for at = first_pair + 1, #ARGV, 2 do
    local field = ARGV[at + 1]
    field_of[tonumber(ARGV[at])] = field
    stored[field] = call('HGET', KEYS[4], field) or call('HGET', KEYS[5], field) or nil
  end

  -- Of each change: its key, as the number of the first change of that key, and what the state holds of it.
  local key_of, head_of, key_at = {}, {}, {}
  local at = 0
  for slot = 1, slot_count do
    for place = 2, size_of[slot] + 1 do
      at = at + 1
      local high, low = byte(pieces, at * 15 - 14, at * 15 - 13)
      local change = high * 128 + low + 1
      key_at[at] = earlier and earlier[at] and key_at[earlier[at]] or at
      key_of[change], head_of[change] = key_at[at], held[slot][place]
    end
  end

  local seen = {}
  local verdict = function(request, from, to)
    local field = field_of[request]
    if field and stored[field] then
      exceptions[#exceptions + 1] = request .. ' duplicate ' .. stored[field] .. ';'
      return false
    end
    local written = {}
    for change = from, to do
      local key = key_of[change]
      local at = written[key] or seen[key]
      if not at then
        local head = head_of[change]
        if head then at = { tonumber(sub(head, 28)), struct.unpack('>I6', head), byte(head, 24) ~= 100 }
        else at = { 0, 0, false } end
      end
      local want = expected[change]
      if want then
        local fits
        if want[1] == 'absent' then fits = not at[3]
        elseif want[1] == 'exists' then fits = at[3]
        else fits = tonumber(want[2]) == at[1] and tonumber(want[3]) == at[2] end
        if not fits then
          exceptions[#exceptions + 1] = concat({ request, 'conflict', change, at[1], whole(at[2]), at[3] and 1 or 0 }, ' ') .. ';'
          return false
        end
      end
      written[key] = { at[1] + 1, epoch, byte(ARGV[7], change) ~= 100 }
    end
    for key, state in pairs(written) do seen[key] = state end
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

-- Where something was refused, the others move up: the number of each that enters, from 0.
local count = changes - refusals
local partial = refusals > 0
local number_of
if partial then
  number_of = {}
  local entering = 0
  for change = 1, changes do
    if not refused[change] then
      number_of[change] = entering
      entering = entering + 1
    end
  end
end

-- The new heads, versions and digest differences: what is new, as the client added it up, less what was held.
-- The lists are filled in the order of slots: what is in them here only gives them their size at once, because a list that
-- grows is copied again and again.
local sized = function(size) return { unpack(ARGV, 1, size) } end
local versions = { unpack(ARGV, first_key + 1, first_key + count) }
-- Pairs of field and text for HSET, those of a slot up to its end.
local heads_written, values_written = sized(2 * count), #values_keys > 0 and sized(2 * count)
local heads_end, values_end, removed_of, highs, lows = sized(slot_count), sized(slot_count), {}, sized(slot_count), sized(slot_count)
local written, valued = 0, 0
local stamp = struct.pack('>I6I6', epoch, sequence + 1)
local next_version = {}
local at, argument = 0, first_key
local next_sum = string.gmatch(ARGV[11], '(%d+) (%d+) ')
local latest = earlier and {}
-- Where payloads begin: values are cut out of them, because Lua hashes each byte of each text that it is given or makes, and
-- to join them here would make several of each.
local begin_of
if #values_keys > 0 then
  begin_of = sized(changes + 1)
  begin_of[1] = 1
  local begin = 1
  for change = 2, changes do
    begin = string.find(payloads, '\n', begin, true) + 1
    begin_of[change] = begin
  end
  begin_of[changes + 1] = #payloads + 2
end
for slot = 1, slot_count do
  argument = argument + 1
  local high, low = next_sum()
  high, low = tonumber(high), tonumber(low)
  local keeps, heads = kept[slot], held[slot]
  local removed
  for place = 2, size_of[slot] + 1 do
    at, argument = at + 1, argument + 1
    local from = at * 15 - 14
    local number_high, number_low = byte(pieces, from, from + 1)
    local number = number_high * 128 + number_low
    local change = number + 1
    local head = heads[place]
    if latest and earlier[at] then head = latest[earlier[at]] end
    -- The hash that goes: of what was held, or of the change itself when it does not enter.
    local gone, gone_at = head, 15
    if partial and refused[change] then
      gone, gone_at = pieces, from + 2
    else
      local piece
      if partial then
        number = number_of[change]
        piece = char((number - number % 128) / 128, number % 128) .. sub(pieces, from + 2, from + 14)
      else
        piece = sub(pieces, from, from + 14)
      end
      local version = '1'
      if keeps == 45 then
        -- Nothing is kept that could be counted on: the sequence rises too.
        version = format('%d', sequence + 1 + number)
      else
        local key = ARGV[argument]
        if head then
          local version_held = sub(head, 28)
          version = next_version[version_held]
          if not version then
            version = format('%d', version_held + 1)
            next_version[version_held] = version
          end
        end
        head = stamp .. piece .. version
        heads_written[written + 1], heads_written[written + 2] = key, head
        written = written + 2
        if keeps == 118 then
          local operation = byte(pieces, from + 11)
          local value
          if operation == 112 then value = sub(payloads, begin_of[change], begin_of[change + 1] - 2)
          elseif operation == 101 then value = folded and folded[change]
          else
            removed = removed or {}
            removed[key] = true
          end
          if value then
            values_written[valued + 1], values_written[valued + 2] = key, value
            valued = valued + 2
            if removed then removed[key] = nil end
          end
        end
      end
      versions[number + 1] = version
    end
    if gone then
      local h1, h2, h3, h4, l1, l2, l3, l4, l5 = byte(gone, gone_at, gone_at + 8)
      high = high - ((h1 * 128 + h2) * 128 + h3) * 128 - h4
      low = low - (((l1 * 128 + l2) * 128 + l3) * 128 + l4) * 128 - l5
    end
    if latest then latest[at] = head end
  end
  heads_end[slot], values_end[slot], removed_of[slot], highs[slot], lows[slot] = written, valued, removed, high, low
end

-- Results to remember, and the answer to requests that repeat one of this very batch.
local first = format('%d', sequence + 1)
local remembered = {}
if remember_count > 0 then
  local from, request = 1, 0
  local result_of = {}
  local note = function(size)
    request = request + 1
    if remember[request] then
      local number = number_of and number_of[from] or from - 1
      local result = whole(epoch) .. ' ' .. whole(sequence + 1 + number) .. ' '
        .. concat(versions, ' ', number + 1, number + size)
      result_of['#' .. request] = result
      remembered[#remembered + 1] = remember[request]
      remembered[#remembered + 1] = result
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

if count > 0 and at_memory_limit(header[5], KEYS[2]) then return 'full' end

local now = now_ms()
local version_text = concat(versions, ' ', 1, count)
local result = whole(epoch) .. ' ' .. first .. ' ' .. now .. '|' .. version_text .. '|' .. concat(exceptions)

if count > 0 then
  -- Of a list with something for each change, what enters.
  local entering = function(text, pattern, separator)
    if not partial then return text end
    local items, change = {}, 0
    for item in string.gmatch(text, pattern) do
      change = change + 1
      if not refused[change] then items[#items + 1] = item end
    end
    return concat(items, separator)
  end
  local line, word = '([^\n]*)\n', '%d+'
  local last_sequence = format('%d', sequence + count)
  -- Mostly all are the same, and then one stands for all: a byte in a hundred.
  local operations = entering(ARGV[7], '.', '')
  local operation = sub(operations, 1, 1)
  if not string.find(operations, '[^' .. operation .. ']') then operations = operation end
  local entry = {
    'first', first, 'time', now, 'types', ARGV[5],
    'operations', operations,
    'versions', version_text,
    'keys', entering(partial and ARGV[8] .. '\n' or ARGV[8], line, '\n'),
    'payloads', entering(partial and payloads .. '\n' or payloads, line, '\n'),
  }
  if ARGV[6] ~= '' then
    entry[#entry + 1] = 'type-of'
    entry[#entry + 1] = entering(ARGV[6], word, ' ')
  end
  if ARGV[15] ~= '' then
    local at = #entry
    entry[at + 1], entry[at + 2] = 'metadata', ARGV[14]
    entry[at + 3], entry[at + 4] = 'metadata-of', entering(ARGV[15], word, ' ')
  end
  if ARGV[19] ~= '' then
    local at = #entry
    entry[at + 1], entry[at + 2] = 'traces', ARGV[18]
    entry[at + 3], entry[at + 4] = 'traces-of', entering(ARGV[19], word, ' ')
  end
  local id = whole(epoch) .. '-' .. last_sequence
  call('XADD', KEYS[2], id, unpack(entry))
  call('HSET', KEYS[1], 'sequence', last_sequence)
  if opens then open_epoch(KEYS[1], server_id, epoch, sequence, now) end
  local sums = {}
  local head_from, value_from = 1, 1
  for slot = 1, slot_count do
    local head_to, value_to = heads_end[slot], values_end[slot]
    if head_to >= head_from then
      call('HSET', KEYS[first_heads + slot], unpack(heads_written, head_from, head_to))
      local values_key = KEYS[first_heads + slot_count + slot]
      if value_to >= value_from then call('HSET', values_key, unpack(values_written, value_from, value_to)) end
      if removed_of[slot] then
        local removed = {}
        for key in pairs(removed_of[slot]) do removed[#removed + 1] = key end
        if #removed > 0 then call('HDEL', values_key, unpack(removed)) end
      end
      local digest, bucket = byte(slots, slot * 5 - 4, slot * 5 - 3)
      local lane = 2 * (bucket - 33)
      local differences = sums[digest]
      if not differences then
        differences = {}
        sums[digest] = differences
      end
      local sum = #differences
      differences[sum + 1], differences[sum + 2] = 'INCRBY', 'i64'
      differences[sum + 3], differences[sum + 4] = format('#%d', lane), format('%d', highs[slot])
      differences[sum + 5], differences[sum + 6] = 'INCRBY', 'i64'
      differences[sum + 7], differences[sum + 8] = format('#%d', lane + 1), format('%d', lows[slot])
    end
    head_from, value_from = head_to + 1, value_to + 1
  end
  for digest, differences in pairs(sums) do call('BITFIELD', KEYS[digest - 27], unpack(differences)) end
  publish(header[4], KEYS[2], id, entry)
end

call('HSET', KEYS[3], producer, ARGV[2] .. ' ' .. result)

if #remembered > 0 then
  local rotation = call('HMGET', KEYS[1], 'results', 'results-since')
  local current = tonumber(rotation[1])
  if tonumber(now) - tonumber(rotation[2]) > tonumber(ARGV[16]) then
    current = 1 - current
    call('UNLINK', KEYS[4 + current])
    call('HSET', KEYS[4 + current], '', '')
    call('HSET', KEYS[1], 'results', current, 'results-since', now)
  end
  call('HSET', KEYS[4 + current], unpack(remembered))
end

return result
