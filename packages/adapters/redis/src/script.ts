import { createHash } from 'node:crypto'
import { EncodedCommand } from '@headwater/core'
import type { RedisClient } from './redis-client.ts'

/** What a script is given: keys of one hash slot, and arguments. */
export interface ScriptInput {
  readonly keys: readonly string[]
  readonly args: readonly (string | Buffer)[]
}

/** A Lua script of ours. */
export interface Script {
  /** Runs it by its digest, and sends it whole to a server that does not know it (yet, or any more). */
  run(client: RedisClient, input: ScriptInput): Promise<unknown>
}

/** A script from its parts, which are joined in their order. */
export function script(...parts: readonly string[]): Script {
  const source = parts.join('\n')
  const digest = createHash('sha1').update(source).digest('hex')
  return {
    async run(client, { keys, args }) {
      try {
        return await send(client, 'evalsha', [digest, keys.length, ...keys, ...args])
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
        return await send(client, 'eval', [source, keys.length, ...keys, ...args])
      }
    },
  }
}

async function send(
  client: RedisClient,
  name: string,
  args: readonly (string | number | Buffer)[],
): Promise<unknown> {
  return await client.sendCommand(new EncodedCommand(name, args))
}
