-- Gives copies up for good, and remembers which changes that were: a worker that begins below them passes over them, and
-- whoever waits for them is told.
--   KEYS[1] parked keys  KEYS[2] parked  KEYS[3] dropped  KEYS[4] group
--   ARGV[1] field (collection and key)  ARGV[2] stamp and ARGV[3] entry ID that the copies which are left are not below
--   ARGV[4] first and ARGV[5] last stamp of what is given up  ARGV[6…] entry IDs
-- Returns {how many were given up, how many are left}.
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored then return { 0, 0 } end
local marker = cjson.decode(stored)
-- A first write that a full Redis does not refuse: it makes room.
local removed = 0
for from = 6, #ARGV, 1000 do
  removed = removed + redis.call('XDEL', KEYS[2], unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
-- Without entries, the copies are gone already.
if #ARGV < 6 then removed = marker.count end
if removed == 0 then return { 0, marker.count } end
-- The latest twenty ranges of a key are enough: positions that somebody still waits for are young.
local ranges = {}
for range in string.gmatch(redis.call('HGET', KEYS[3], ARGV[1]) or '', '%S+') do ranges[#ranges + 1] = range end
ranges[#ranges + 1] = ARGV[4] .. ':' .. ARGV[5]
redis.call('HSET', KEYS[3], ARGV[1], table.concat(ranges, ' ', math.max(1, #ranges - 19)))
marker.count = marker.count - removed
if marker.count <= 0 then
  redis.call('HDEL', KEYS[1], ARGV[1])
  key_was_freed(KEYS[4])
else
  marker.first, marker.from = ARGV[2], ARGV[3]
  redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(marker))
end
return { removed, math.max(0, marker.count) }
