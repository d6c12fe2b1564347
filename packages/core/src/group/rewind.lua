-- Sets a group back in one partition. Whoever has the lease is fenced, and the next owner begins at the new place.
--   KEYS[1] header  KEYS[2] group  KEYS[3] log
--   ARGV[1] checkpoint  ARGV[2] its sequence  ARGV[3] 'look' to change nothing
-- Returns {'rewound', checkpoint before}, {'behind', checkpoint} where it stands there or before, {'trimmed', up to which
-- sequence the log is gone}, {'copying'}, {'unknown'} or {'missing'} when the partition has no header.
local sequence, trimmed = unpack(redis.call('HMGET', KEYS[1], 'sequence', 'trimmed'))
if not sequence then return { 'missing' } end
local group = redis.call('HMGET', KEYS[2], 'token', 'checkpoint', 'copy')
if not group[1] then return { 'unknown' } end
if group[3] then return { 'copying' } end
local to = tonumber(ARGV[2])
if to >= tonumber(string.match(group[2], '%-(%d+)$')) then return { 'behind', group[2] } end
local first = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
local gone = math.max(tonumber(trimmed or '0'), first and 0 or tonumber(sequence))
for at = 1, first and #first[2] or 0, 2 do
  if first[2][at] == 'first' then gone = math.max(gone, tonumber(first[2][at + 1]) - 1) end
end
if to < gone then return { 'trimmed', string.format('%d', gone) } end
if ARGV[3] == 'look' then return { 'rewound', group[2] } end
-- A first write that a full Redis does not refuse.
redis.call('HDEL', KEYS[2], 'owner', 'expires', 'taken', '')
redis.call('HSET', KEYS[2], 'token', tonumber(group[1]) + 1, 'checkpoint', ARGV[1])
return { 'rewound', group[2] }
