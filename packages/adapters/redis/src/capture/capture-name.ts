import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { HeadwaterError } from '@headwater/core'

/** @throws HeadwaterError OPTION_INVALID */
export function checkCaptureName(name: string): void {
  if (/^[a-zA-Z0-9_.-]{1,64}$/.test(name)) return
  throw new HeadwaterError(
    'OPTION_INVALID',
    `name ${JSON.stringify(name)} must be 1 to 64 of letters, digits, "_", "." and "-".`,
  )
}

/** One folder a mode and name, in the user's folder for state. */
export function defaultSpool(mode: 'commands' | 'state', name: string): string {
  // The specification of these variables has paths passed over that are not absolute.
  const given = process.env['XDG_STATE_HOME'] ?? ''
  const state = isAbsolute(given) ? given : join(homedir(), '.local', 'state')
  return join(state, 'headwater', mode === 'commands' ? 'capture' : 'capture-state', name)
}
