-- Puts a marker into the log of a partition: an entry that carries the digests of all collections as they are at its
-- place. Runs behind epoch.lua and publish.lua.
--   KEYS[1] header  KEYS[2] log  KEYS[3…] digests
--   ARGV[1] type of the entry  ARGV[2] least time between two markers, ms  ARGV[3…] the collection of each digest
-- Returns 'marked', 'recent' (there is one that is not as old), 'unchanged' (nothing was appended since the last, which so
-- still holds), 'empty' or 'missing'.
local server_id = replication_id()
local epoch, sequence, opens, header = read_header(KEYS[1], server_id, 'lineage', 'marked', 'marked-at')
if not epoch then return 'missing' end
if sequence == 0 then return 'empty' end
local now = now_ms()
if tonumber(header[5] or '0') == sequence then return 'unchanged' end
local age = tonumber(now) - tonumber(header[6] or '0')
-- A clock that was set back must not keep markers out for as long.
if age >= 0 and age < tonumber(ARGV[2]) then return 'recent' end

local digests = {}
for at = 3, #KEYS do
  local lanes = redis.call('GET', KEYS[at])
  if lanes then
    local hex = string.gsub(lanes, '.', function(byte) return string.format('%02x', string.byte(byte)) end)
    digests[#digests + 1] = '"' .. ARGV[at] .. '":"' .. hex .. '"'
  end
end
local this = string.format('%d', sequence + 1)
local id = whole(epoch) .. '-' .. this
local entry = {
  'first', this, 'time', now, 'types', ARGV[1], 'operations', 'p', 'versions', '1', 'keys', '',
  'payloads', '{' .. table.concat(digests, ',') .. '}',
}
redis.call('XADD', KEYS[2], id, unpack(entry))
redis.call('HSET', KEYS[1], 'sequence', this, 'marked', this, 'marked-at', now)
if opens then open_epoch(KEYS[1], server_id, epoch, sequence, now) end
publish(header[4], KEYS[2], id, entry)
return 'marked'
