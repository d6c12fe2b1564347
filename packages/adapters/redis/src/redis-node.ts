import { createHash } from 'node:crypto'
import { canonicalJson, type Node, type Versions } from '@headwater/core'
import { source as listNodeSource } from './list-node.lua.ts'
import type { RedisClient } from './redis-client.ts'
import { redisFailure } from './redis-failure.ts'
import { source as readNodeSource } from './read-node.lua.ts'
import { textReply } from './reply.ts'
import { script, type Script, type ScriptInput } from './script.ts'
import { source as writeNodeSource } from './write-node.lua.ts'

const listScript = script(listNodeSource)
const writeScript = script(writeNodeSource)
const readScript = script(readNodeSource)
const rowsAtOnce = 1_000

export interface RedisNodeOptions {
  /** As the weights of the set know it. */
  readonly name: string
  /** An ioredis `Redis` without `keyPrefix`. It stays the caller's: it is never closed here. */
  readonly client: RedisClient
  /** The hash that holds the versions: key → canonical JSON. */
  readonly key: string
}

/** A Redis hash as a node of a set: each write is one script that compares and sets. */
export function redisNode({ name, client, key: versionsKey }: RedisNodeOptions): Node {
  const run = async (of: Script, args: ScriptInput['args']): Promise<unknown> => {
    try {
      return await of.run(client, { keys: [versionsKey], args })
    } catch (error) {
      throw redisFailure(`node ${name}`, error)
    }
  }
  return {
    name,
    async *list() {
      let cursor = '0'
      do {
        const [next = '0', ...page] = textReply(await run(listScript, [cursor, String(rowsAtOnce)]))
        for (let at = 0; at + 1 < page.length; at += 2) yield { key: page[at]!, mark: page[at + 1]! }
        cursor = next
      } while (cursor !== '0')
    },
    async read(keys) {
      if (keys.length === 0) return []
      const texts = (await run(readScript, keys)) as (string | null)[]
      return texts.map((text) => {
        if (text === null) return undefined
        return { versions: JSON.parse(text) as Versions<unknown>, mark: markOf(text) }
      })
    },
    async write(key, mark, versions) {
      const answer = await run(writeScript, [key, mark ?? '', canonicalJson(versions)])
      return answer === 'written' ? 'written' : 'changed'
    },
  }
}

/** As the scripts compute it. */
function markOf(text: string): string {
  return createHash('sha1').update(text).digest('hex')
}
