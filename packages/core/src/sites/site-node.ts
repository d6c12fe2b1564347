import { createHash } from 'node:crypto'
import { canonicalJson } from '../change/canonical-json.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import type { Node, NodeRow } from '../nodes/node.ts'
import type { Versions } from '../nodes/versions.ts'
import type { RedisClient } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import { source as writeSiteNodeLua } from './write-site-node.lua.ts'

const writeScript = script('write-site-node', writeSiteNodeLua)
const rowsAtOnce = 1_000
/** A follower who is further behind compares everything. */
const changedKept = 100_000

/** What a site holds of a collection, beside its log, and which keys of it have changed. */
export interface SiteNode extends Node {
  /**
   * The keys that were written after a place, and the place behind them. `all` where that is not known (any more): then
   * everything has to be compared, and it goes on from the place.
   */
  changes(after: string): Promise<{ readonly keys: readonly string[] | 'all'; readonly place: string }>
}

/** The node of a site, on the server of its log: a log that is reached over a link gives a node that is. */
export function siteNode(log: Log, name: string, collection: AnyCollection): SiteNode {
  const parts = logParts(log)
  const { versions, changed } = siteKeys(parts, collection)
  const run = <T>(doing: string, command: (client: RedisClient) => Promise<T>): Promise<T> =>
    persist(parts.connection, { doing: `${doing} site ${name}`, deadlineMs: parts.deadlineMs }, command)
  return {
    name,
    async *list() {
      let cursor = '0'
      do {
        const [next, page] = await run('listing', (client) =>
          client.hscan(versions, cursor, 'COUNT', rowsAtOnce),
        )
        for (let at = 0; at + 1 < page.length; at += 2) yield { key: page[at]!, mark: markOf(page[at + 1]!) }
        cursor = next
      } while (cursor !== '0')
    },
    async read(keys) {
      if (keys.length === 0) return []
      const texts = await run('reading', (client) => client.hmget(versions, ...keys))
      return texts.map((text): NodeRow | undefined =>
        text === null ? undefined : { versions: JSON.parse(text) as Versions<unknown>, mark: markOf(text) },
      )
    },
    async write(key, mark, held) {
      const input = { keys: [versions, changed], args: [key, mark ?? '', canonicalJson(held), changedKept] }
      const answer = await run('writing to', (client) => writeScript.run(client, input))
      return answer === 'written' ? 'written' : 'changed'
    },
    async changes(after) {
      const [[known], entries, [last]] = await run('following', (client) =>
        Promise.all([
          client.xrange(changed, after, after),
          client.xrange(changed, `(${after}`, '+', 'COUNT', rowsAtOnce),
          client.xrevrange(changed, '+', '-', 'COUNT', 1),
        ]),
      )
      // The place itself must still be there, or what came behind it may be gone too.
      if (!known) return { keys: last ? 'all' : [], place: last ? last[0] : after }
      const keys = new Set(entries.map(([, fields]) => fields[1]!))
      return { keys: [...keys], place: entries.at(-1)?.[0] ?? after }
    },
  }
}

/** Keys of a site on the server of its log. */
export function siteKeys({ namespace }: LogParts, { name }: AnyCollection): Record<SiteKey, string> {
  const prefix = `headwater:{${namespace}}:site:${name}`
  return {
    versions: `${prefix}:versions`,
    changed: `${prefix}:changed`,
    folded: `${prefix}:folded`,
    places: `${prefix}:places`,
  }
}

type SiteKey = 'versions' | 'changed' | 'folded' | 'places'

/** As the script computes it, and other nodes do. */
function markOf(text: string): string {
  return createHash('sha1').update(text).digest('hex')
}
