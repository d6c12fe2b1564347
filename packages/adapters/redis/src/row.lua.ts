// Generated from row.lua by `pnpm generate`: do not edit.
export const source: string = `-- A part of other scripts: a record as text, "epoch sequence hash hash live key", where the hash comes as two numbers
-- of 32 bits, since Lua holds none of 64. '' for a record that is too short to be one.
local function row_text(record)
  if #record < 25 then return '' end
  local epoch, sequence, high, low, _, _, live, key = struct.unpack('>I6I6I4I4I2I2B', record)
  return string.format('%.0f %.0f %.0f %.0f %d ', epoch, sequence, high, low, live) .. string.sub(record, key)
end
`
