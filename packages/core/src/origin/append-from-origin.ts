import { appendParts } from '../append/append-script.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { script, type Script, type ScriptInput } from '../redis/script.ts'
import { source as originFenceLua } from './origin-fence.lua.ts'

/** The origin of an append: what its partition compares before it takes the batch. */
export interface AppendOrigin {
  readonly name: string
  readonly token: string
  /** Whole, and rising with each token. */
  readonly position: number
}

/**
 * The append script behind a fence. A script of its own, so that a batch without an origin pays nothing for it, and the
 * append script knows nothing of it.
 */
export const appendFromOriginScript: Script = script('append-from-origin', originFenceLua, ...appendParts)

/** What the fence takes off again: the last key and the last argument. */
export function withOrigin(
  { keys, args }: ScriptInput,
  origins: string,
  { name, token, position }: AppendOrigin,
): ScriptInput {
  return { keys: [...keys, origins], args: [...args, `${name} ${token} ${position}`] }
}

export function originFenced(name: string): HeadwaterError {
  return new HeadwaterError(
    'ORIGIN_FENCED',
    `Another process has taken the origin ${JSON.stringify(name)} over, and brings its changes into the log from now on.`,
  )
}
