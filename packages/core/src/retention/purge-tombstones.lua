-- Lets heads of deleted keys go whose delete has been trimmed. Runs behind epoch.lua and epochs.lua.
--   KEYS[1] header  KEYS[2] heads
--   ARGV[1] 1 to only count   ARGV[2…] keys
-- Returns how many went, or would go.
local trimmed = tonumber(redis.call('HGET', KEYS[1], 'trimmed') or '0')
local epochs = read_epochs(KEYS[1])
local gone = {}
for at = 2, #ARGV do
  local head = redis.call('HGET', KEYS[2], ARGV[at])
  if head and string.byte(head, 24) == 100 then
    -- See state-record.ts: the batch's first sequence, and the number in the batch.
    local epoch, sequence = struct.unpack('>I6I6', head)
    sequence = sequence + string.byte(head, 13) * 128 + string.byte(head, 14)
    if sequence <= trimmed and survived_up_to(epochs, epoch, sequence) == sequence then gone[#gone + 1] = ARGV[at] end
  end
end
if #gone == 0 or ARGV[1] == '1' then return #gone end
return redis.call('HDEL', KEYS[2], unpack(gone))
