import { createHash } from 'node:crypto'
import type { RedisClient } from './connection.ts'

/** What a script is given: keys of one hash slot, and arguments. */
export interface ScriptInput {
  readonly keys: readonly string[]
  readonly args: readonly (string | number)[]
}

/** A Lua script of ours, run by its digest. */
export interface Script {
  readonly name: string
  run(client: RedisClient, input: ScriptInput): Promise<unknown>
}

/**
 * Scripts are run by `EVALSHA` and sent whole when the server does not know them (restart, failover, SCRIPT FLUSH);
 * `EVAL` then runs and remembers them in one step, so nothing can flush them in between.
 */
export function script(name: string, ...sources: readonly string[]): Script {
  const source = sources.join('\n')
  const sha = createHash('sha1').update(source).digest('hex')
  return {
    name,
    async run(client, { keys, args }) {
      try {
        return await client.evalsha(sha, keys.length, ...keys, ...args)
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
        return await client.eval(source, keys.length, ...keys, ...args)
      }
    },
  }
}
