// Generated from lease.lua by `pnpm generate`: do not edit.
export const source: string = `-- The lease of one partition of one group. Runs behind epoch.lua.
--
-- The token is the truth: whoever holds the stored (owner, token) may commit, also after the expiry, for nobody took over.
-- The expiry only permits a takeover. It is a time of this server; one that is further away than a lease lasts was
-- written by a server with another clock, and reads as one lease from now.
--
-- A command takes a lease also from the worker that holds it, but not from another command.
--
--   KEYS[1] header  KEYS[2] group
--   ARGV[1] acquire, take, renew or release   ARGV[2] owner   ARGV[3] lease in ms   ARGV[4] token (renew, release)
-- A lease that ran out in the hands of another worker, while changes waited, is a death: they are counted until the checkpoint
-- moves, and what that worker had in hand is told to its successor.
--
-- Returns {'granted', token, checkpoint, saved, epoch, sequence, copy or '', deaths, hand or '', died: 1 or 0}, {'held', owner, ms left}, {'fenced'},
-- {'released'} or {'missing'}.
local server_id = replication_id()
local epoch, sequence, opens = read_header(KEYS[1], server_id)
if not epoch then return { 'missing' } end
local group = redis.call('HMGET', KEYS[2], 'owner', 'token', 'expires', 'checkpoint', 'saved', 'copy', 'taken', 'deaths', 'hand')
-- An expiry that is no time holds nobody off.
local owner, token, expires = group[1], tonumber(group[2]), tonumber(group[3] or '0') or 0
if not token then return { 'missing' } end
local action, lease = ARGV[1], tonumber(ARGV[3])
local now = tonumber(now_ms())

local takes = action == 'acquire' or action == 'take'
if not takes and (owner ~= ARGV[2] or token ~= tonumber(ARGV[4])) then return { 'fenced' } end
local left = math.min(expires - now, lease)
if takes and owner and owner ~= ARGV[2] and left > 0 and (action == 'acquire' or group[7]) then
  if expires > now + lease then
    redis.call('HDEL', KEYS[2], '')
    redis.call('HSET', KEYS[2], 'expires', string.format('%d', now + lease))
  end
  return { 'held', owner, left }
end

-- A first write that a full Redis does not refuse: without leases nothing would be applied, acknowledged and trimmed,
-- and Redis would stay full.
redis.call('HDEL', KEYS[2], '')
if action == 'release' then
  redis.call('HDEL', KEYS[2], 'owner', 'expires', 'taken', 'hand')
  return { 'released' }
end
if opens then open_epoch(KEYS[1], server_id, epoch, sequence, string.format('%d', now)) end
if takes then
  token = token + 1
  redis.call('HDEL', KEYS[2], 'taken')
end
local deaths, hand, died = tonumber(group[8] or '0') or 0, '', 0
if action == 'acquire' then
  if owner and owner ~= ARGV[2] then
    died = 1
    if sequence > tonumber(string.match(group[4] or '', '%d+$') or '0') then
      deaths, hand = deaths + 1, group[9] or ''
      redis.call('HSET', KEYS[2], 'deaths', deaths)
    end
  end
  -- Whoever lives does not die of what it had in hand.
  redis.call('HDEL', KEYS[2], 'hand')
end
if action == 'take' then redis.call('HSET', KEYS[2], 'taken', '1') end
redis.call('HSET', KEYS[2], 'owner', ARGV[2], 'token', token, 'expires', string.format('%d', now + lease))
return { 'granted', token, group[4], group[5], epoch, sequence, group[6] or '', deaths, hand, died }
`
