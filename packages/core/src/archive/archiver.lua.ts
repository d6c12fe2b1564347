// Generated from archiver.lua by `pnpm generate`: do not edit.
export const source: string = `-- The right to archive one partition, and how far its archive is. Runs behind epoch.lua and epochs.lua.
--
-- How far it is, is a hold that does not expire: nothing behind it is trimmed. The right is beside it, in the header's field
-- "archive" ("token expires from owner", where from is the sequence behind which the archive began), and goes to somebody else when it has expired. Its token only rises, so an archiver that
-- was overtaken can neither move the hold nor, by the names of its files, undo what its successor has written.
--
--   KEYS[1] header  KEYS[2] holds
--   ARGV[1] acquire, advance, release or end   ARGV[2] owner   ARGV[3] how long the right lasts, ms
--   ARGV[4] advance, release: token; acquire: one that the new token has to be above   ARGV[5] advance: up to where the archive has everything, "epoch-sequence"
-- Returns {'granted', token, position, from}, {'held', owner}, {'advanced'}, {'fenced'}, {'released'}, {'ended'} or {'missing'}.
if not read_header(KEYS[1], '') then return { 'missing' } end
local action, owner, lasts = ARGV[1], ARGV[2], tonumber(ARGV[3])
local now = tonumber(now_ms())
local token, expires, from, holder =
  string.match(redis.call('HGET', KEYS[1], 'archive') or '', '^(%d+) (%d+) (%d+) (.*)$')
token, expires, from = tonumber(token or '0'), tonumber(expires or '0'), tonumber(from or '0')
local store = function(until_when, whose)
  redis.call('HSET', KEYS[1], 'archive', table.concat({ whole(token), whole(until_when), whole(from), whose }, ' '))
end
local text = redis.call('HGET', KEYS[2], 'archive')
local since = text and string.match(text, '^%S+ archive (%d+)') or whole(now)
local hold = function(position)
  redis.call('HDEL', KEYS[2], 'archive')
  redis.call('HSET', KEYS[2], 'archive', position .. ' archive ' .. since .. ' 0 0 ' .. owner)
end

-- What is written first is not refused by a full Redis: archiving is what lets it be trimmed.
redis.call('HDEL', KEYS[2], ' ')
if action == 'end' then
  redis.call('HDEL', KEYS[2], 'archive')
  token = token + 1
  store(0, '')
  return { 'ended' }
end
if action == 'acquire' then
  if holder ~= owner and math.min(expires - now, lasts) > 0 then return { 'held', holder } end
  -- Files may be younger than this copy of the log, when that was restored.
  token = math.max(token, tonumber(ARGV[4])) + 1
  local position = text and string.match(text, '^%S+')
  if not position then
    from = tonumber(redis.call('HGET', KEYS[1], 'trimmed') or '0')
    position = from == 0 and '0-0' or whole(epoch_of(read_epochs(KEYS[1]), from)) .. '-' .. whole(from)
    hold(position)
  end
  store(now + lasts, owner)
  return { 'granted', token, position, from }
end
if holder ~= owner or token ~= tonumber(ARGV[4]) then return { 'fenced' } end
if action == 'release' then
  store(0, '')
  return { 'released' }
end
store(now + lasts, owner)
hold(ARGV[5])
return { 'advanced' }
`
