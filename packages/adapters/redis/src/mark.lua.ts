// Generated from mark.lua by `pnpm generate`: do not edit.
export const source: string = `-- A part of other scripts: what stands in a data key, and a fingerprint of all that is stored of it.

-- The string, or fields and contents; none where there is nothing or something of another type; then the type.
local function parts_of(data_key, data_type)
  local found = redis.call('TYPE', data_key)['ok']
  if found ~= data_type then return {}, found end
  if data_type == 'string' then return { redis.call('GET', data_key) }, found end
  return redis.call('HGETALL', data_key), found
end

-- Of a record, and of parts with their type. Redis may give the fields of a hash in another order next time.
local function mark_of(record, parts, found)
  local pieces = {}
  for at = 1, #parts, 2 do
    local piece = #parts[at] .. ':' .. parts[at]
    if parts[at + 1] then piece = piece .. #parts[at + 1] .. ':' .. parts[at + 1] end
    pieces[#pieces + 1] = piece
  end
  table.sort(pieces)
  return redis.sha1hex(#record .. ':' .. record .. found .. table.concat(pieces))
end
`
