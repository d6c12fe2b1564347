// Generated from park-entry.lua by `pnpm generate`: do not edit.
export const source: string = `-- Sets an entry of the log aside that cannot be decoded, every byte of it, if the lease is still the caller's. Doing it twice is
-- harmless, and what was given up does not come back.
--   KEYS[1] group  KEYS[2] parked keys  KEYS[3] parked  KEYS[4] log  KEYS[5] dropped
--   ARGV[1] owner  ARGV[2] token  ARGV[3] most keys  ARGV[4] field  ARGV[5] entry ID  ARGV[6] reason code  ARGV[7] reason
--   ARGV[8] its stamp, as far as it is one
-- Returns 'parked', 'known', 'keys' when the bound leaves no room, or 'fenced'.
local group = redis.call('HMGET', KEYS[1], 'owner', 'token')
if group[1] ~= ARGV[1] or group[2] ~= ARGV[2] then return 'fenced' end
local field, id = ARGV[4], ARGV[5]
if redis.call('HEXISTS', KEYS[2], field) == 1 or redis.call('HEXISTS', KEYS[5], field) == 1 then return 'known' end
-- The empty field stands for nobody.
if redis.call('HLEN', KEYS[2]) > tonumber(ARGV[3]) then return 'keys' end
local entry = redis.call('XRANGE', KEYS[4], id, id)[1]
local raw = {}
for index, text in ipairs(entry and entry[2] or {}) do raw[index] = #text .. ':' .. text end
-- A first write that a full Redis does not refuse.
redis.call('HDEL', KEYS[1], '')
local copy = redis.call(
  'XADD', KEYS[3], '*', 'field', field, 'stamp', ARGV[8], 'code', ARGV[6], 'reason', ARGV[7], 'raw', table.concat(raw)
)
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local marker = { since = now, first = ARGV[8], last = ARGV[8], code = ARGV[6], reason = ARGV[7], count = 1, from = copy }
redis.call('HSET', KEYS[2], field, cjson.encode(marker))
return 'parked'
`
