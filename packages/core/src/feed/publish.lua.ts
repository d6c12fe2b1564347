// Generated from publish.lua by `pnpm generate`: do not edit.
export const source: string = `-- A part of the append script: tells live feeds of a batch that was stored. It never fails, because the batch is in the
-- log already; a feed that hears nothing looks for itself within a second.
--
-- The channel has the name of the stream, which puts it into the same slot. The message is "lineage id lengths…", the
-- lengths of the entry's fields and values in bytes, a line feed, and these themselves one after another. Without the
-- lengths, when the entry is large, it says only that the log has grown up to this id.
local message_bytes_max = 16384

local function publish(lineage, log_key, id, entry)
  local listeners = redis.pcall('PUBSUB', 'SHARDNUMSUB', log_key)
  local sharded = not listeners.err
  if sharded and listeners[2] == 0 then return end
  -- Channels are shared by all databases of a server: the lineage tells logs of the same name apart.
  local head = lineage .. ' ' .. id
  if not sharded then
    -- Before Redis 7 every message goes to all replicas and to all nodes of a Cluster, whoever listens: keep it short.
    redis.pcall('PUBLISH', log_key, head)
    return
  end
  local fields = table.concat(entry)
  if #fields > message_bytes_max then
    redis.pcall('SPUBLISH', log_key, head)
    return
  end
  local lengths = {}
  for at = 1, #entry do lengths[at] = #entry[at] end
  redis.pcall('SPUBLISH', log_key, head .. ' ' .. table.concat(lengths, ' ') .. '\\n' .. fields)
end
`
