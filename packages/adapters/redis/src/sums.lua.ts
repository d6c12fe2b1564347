// Generated from sums.lua by `pnpm generate`: do not edit.
export const source: string = `-- A part of other scripts: the sums that are kept of the content hashes of a partition's live rows, bucket by bucket. The
-- two halves of the hashes are summed apart, which HINCRBY does without ever coming near its limits.

-- Adds a row (sign 1), or takes it away (sign -1). What is of another partition does not count.
local function add_row(sums, partition, sign, high, low, of, bucket, live)
  if live == 0 or of ~= partition then return end
  local sum = sums[bucket]
  if not sum then
    sum = { 0, 0 }
    sums[bucket] = sum
  end
  sum[1], sum[2] = sum[1] + sign * high, sum[2] + sign * low
end

-- The same of a record. What a stranger wrote does not count.
local function add_to_sums(sums, partition, record, sign)
  if not record or #record < 25 then return end
  add_row(sums, partition, sign, struct.unpack('>I4I4I2I2B', record, 13))
end

-- Not as a script's first write: a full Redis refuses HINCRBY there.
local function keep_sums(sums_key, sums)
  for bucket, sum in pairs(sums) do
    redis.call('HINCRBY', sums_key, bucket .. ' high', string.format('%.0f', sum[1]))
    redis.call('HINCRBY', sums_key, bucket .. ' low', string.format('%.0f', sum[2]))
  end
end
`
