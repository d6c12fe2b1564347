import { createHash } from 'node:crypto'
import type { RedisClient } from './connection.ts'
import { EncodedCommand } from './encoded-command.ts'

/** What a script is given: keys of one hash slot, and arguments. */
export interface ScriptInput {
  readonly keys: readonly string[]
  readonly args: readonly (string | number)[]
}

/** A Lua script of ours, run by its digest. */
export interface Script {
  readonly name: string
  readonly run: (client: RedisClient, input: ScriptInput) => Promise<unknown>
  /** As `run`, with texts of the reply as bytes. */
  readonly runBuffer: (client: RedisClient, input: ScriptInput) => Promise<unknown>
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
    run: (client, { keys, args }) =>
      send(client, 'evalsha', [sha, keys.length, ...keys, ...args]).catch((error: unknown) => {
        if (!isUnknownScript(error)) throw error
        return send(client, 'eval', [source, keys.length, ...keys, ...args])
      }),
    runBuffer: (client, { keys, args }) =>
      client.callBuffer('EVALSHA', sha, keys.length, ...keys, ...args).catch((error: unknown) => {
        if (!isUnknownScript(error)) throw error
        return client.callBuffer('EVAL', source, keys.length, ...keys, ...args)
      }),
  }
}

function send(client: RedisClient, name: string, args: readonly (string | number)[]): Promise<unknown> {
  const command = new EncodedCommand(name, args)
  void client.sendCommand(command)
  return command.promise
}

function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT')
}
