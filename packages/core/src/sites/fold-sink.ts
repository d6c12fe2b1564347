import type { Change } from '../change/change.ts'
import { compareStamps } from '../change/stamp.ts'
import type { Collection } from '../collection/collection.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import type { Node } from '../nodes/node.ts'
import { persist } from '../redis/persist.ts'
import { applied, stale, type Outcome } from '../sink/outcome.ts'
import type { Sink, SinkPosition } from '../sink/sink.ts'
import { foldChange, formatFolded, parseFolded } from './folded-key.ts'
import { hold } from './hold.ts'
import { siteKeys } from './site-node.ts'

/**
 * Folds a site's log into its node: every change of the site, with all that its log held of the key when it was written. Each
 * step may be done again, by whoever, without effect, so it needs no fence: what was folded once is stale.
 */
export function foldSink<T>(parts: LogParts, site: string, collection: Collection<T>, node: Node): Sink<T> {
  const { folded: foldedKey, places } = siteKeys(parts, collection)
  const { connection, deadlineMs } = parts
  const options = { doing: `folding the log of site ${site}`, deadlineMs }

  async function fold(change: Change): Promise<Outcome> {
    const text = await persist(connection, options, (client) => client.hget(foldedKey, change.key))
    const before = parseFolded(text)
    if (before && compareStamps(before.at, change.stamp) >= 0) return stale
    const { folded, written } = foldChange(site, before, change)
    // The node first: what is done again after a crash in between is held already.
    if (written) await hold(node, change.key, written)
    await persist(connection, options, (client) => client.hset(foldedKey, change.key, formatFolded(folded)))
    return applied
  }

  return {
    name: `node of site "${site}"`,
    collection,
    capabilities: {
      transactions: false,
      list: false,
      read: false,
      concurrency: 1,
      batch: { changes: 100, bytes: 1_048_576 },
    },
    async open({ partition, group }) {
      const field = `position ${partition} ${group}`
      const stored = await persist(connection, options, (client) => client.hget(places, field))
      const store = async (position: SinkPosition): Promise<void> => {
        await persist(connection, options, (client) => client.hset(places, field, JSON.stringify(position)))
      }
      return {
        position: stored === null ? undefined : (JSON.parse(stored) as SinkPosition),
        async apply(changes, position) {
          const outcomes = await Promise.all(changes.map(fold))
          await store(position)
          return outcomes
        },
        advance: store,
        close: async () => {},
      }
    },
    close: async () => {},
  }
}
