-- What one writes first: the changes as one JSON text, and a call for each field of each change. It keeps the same
-- things as the append script: an entry in the log, version, stamp, content hash, value if asked to, and a digest.
--   KEYS[1] log  KEYS[2] versions  KEYS[3] stamps  KEYS[4] hashes  KEYS[5] values  KEYS[6] digest
--   ARGV[1] changes as JSON: [{ key, payload, bucket }, …]  ARGV[2] 'values' or 'versions'
-- Returns the new versions.
local versions = {}
for _, change in ipairs(cjson.decode(ARGV[1])) do
  local version = redis.call('HINCRBY', KEYS[2], change.key, 1)
  local id = redis.call('XADD', KEYS[1], '*', 'key', change.key, 'version', version, 'payload', change.payload)
  local hash = tonumber(string.sub(redis.sha1hex(change.payload), 1, 12), 16)
  local held = tonumber(redis.call('HGET', KEYS[4], change.key) or '0')
  redis.call('HSET', KEYS[3], change.key, id)
  redis.call('HSET', KEYS[4], change.key, string.format('%.0f', hash))
  redis.call('HINCRBY', KEYS[6], change.bucket, string.format('%.0f', hash - held))
  if ARGV[2] == 'values' then redis.call('HSET', KEYS[5], change.key, change.payload) end
  versions[#versions + 1] = version
end
return versions
