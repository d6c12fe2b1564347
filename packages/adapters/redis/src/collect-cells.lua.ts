// Generated from collect-cells.lua by `pnpm generate`: do not edit.
export const source: string = `-- Takes the sums of cells out of the scratch key, which is gone then.
--   KEYS[1] scratch
-- Returns {cell, "count high-sum low-sum", …}; {} when the scratch key is gone.
local reply, fields = {}, redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  if fields[at] == '' then
    reply[#reply + 1] = ''
    reply[#reply + 1] = ''
  elseif string.sub(fields[at], 1, 3) ~= 'in ' then
    reply[#reply + 1] = fields[at]
    reply[#reply + 1] = fields[at + 1]
  end
end
redis.call('UNLINK', KEYS[1])
return reply
`
