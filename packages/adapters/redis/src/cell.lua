-- A part of other scripts: the digest cell of a live record, as "partition bucket low". Also gives the cell it lies in one
-- depth before, and the two halves of the hash. Nothing for a tombstone, and for what is no record.
local function cell_of(record, depth)
  if #record < 25 then return nil end
  local high, low, partition, bucket, live = struct.unpack('>I4I4I2I2B', record, 13)
  if live == 0 then return nil end
  local place = partition .. ' ' .. bucket .. ' '
  -- No log writes such a hash.
  if high == 0 and low == 0 then place = '-1 -1 ' end
  local cell = place .. string.format('%.0f', low % 16 ^ depth)
  local parent = place .. string.format('%.0f', low % 16 ^ (depth - 1))
  return cell, parent, high, low
end
