-- Opens an epoch above one that a sink has seen: this log lost history that the sink still has. Runs behind epoch.lua.
--   KEYS[1] header
--   ARGV[1] the epoch to go above
-- Returns {epoch, sequence}, or {'missing'}.
local server_id = replication_id()
local epoch, sequence, opens = read_header(KEYS[1], server_id)
if not epoch then return { 'missing' } end
local above = tonumber(ARGV[1])
if opens and epoch > above then
  open_epoch(KEYS[1], server_id, epoch, sequence, now_ms())
  return { epoch, sequence }
end
if epoch > above then return { epoch, sequence } end
epoch = epoch_above(above, 1, server_id)
open_epoch(KEYS[1], server_id, epoch, sequence, now_ms())
return { epoch, sequence }
