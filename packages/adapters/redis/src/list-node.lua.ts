// Generated from list-node.lua by `pnpm generate`: do not edit.
export const source: string = `-- Reads one page of what a node holds, by fingerprint.
--   KEYS[1] versions
--   ARGV[1] cursor, '0' at first   ARGV[2] about how many
-- Returns {next cursor or '0', key, mark, key, mark, …}.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply, entries = { page[1] }, page[2]
for at = 1, #entries, 2 do
  reply[#reply + 1] = entries[at]
  reply[#reply + 1] = redis.sha1hex(entries[at + 1])
end
return reply
`
