import { findOnPath } from './search-path.ts'

/**
 * Makes a command end when the process that starts it is killed, where the system can do that (Linux, by `setpriv`).
 * Elsewhere the keeper's pipe and the next start have to do.
 */
export function endedWithParent(argv: readonly [string, ...string[]]): readonly [string, ...string[]] {
  const setpriv = findOnPath('setpriv')
  return setpriv === undefined ? argv : [setpriv, '--pdeathsig', 'KILL', '--', ...argv]
}
