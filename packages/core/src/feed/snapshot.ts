import { unescapeKey } from '../change/key.ts'
import { formatPosition } from '../change/position.ts'
import { formatVersion } from '../change/version.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { upcast } from '../collection/upcast.ts'
import type { NamespaceKeys } from '../namespace/keys.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { decodeStateRecord } from '../state/state-record.ts'
import type { FeedChange } from './feed-change.ts'

export interface SnapshotOptions {
  readonly connection: Connection
  readonly keys: NamespaceKeys
  readonly buckets: number
  readonly deadlineMs: number
  readonly signal?: AbortSignal | undefined
}

const rowsAtOnce = 500

/**
 * The live entities of a collection in one partition, page by page, each once. It is not one moment: a row may be newer
 * than the beginning, which its stamp tells.
 */
export async function* readSnapshot(
  { connection, keys, buckets, deadlineMs, signal }: SnapshotOptions,
  collection: AnyCollection,
  partition: number,
): AsyncGenerator<FeedChange[]> {
  const options = { doing: `reading a snapshot of ${collection.name}`, deadlineMs, ...(signal && { signal }) }
  for (let bucket = 0; bucket < buckets; bucket++) {
    const hash = keys.partitions[partition]!.state(collection.name, bucket)
    // While a hash grows, HSCAN may give a field twice.
    const seen = new Set<string>()
    let cursor = '0'
    do {
      const [next, fields] = await persist(connection, options, (client) =>
        client.hscanBuffer(hash, cursor, 'COUNT', rowsAtOnce),
      )
      const rows: FeedChange[] = []
      for (let at = 0; at + 1 < fields.length; at += 2) {
        const field = fields[at]!.toString()
        // The empty field stands for nobody.
        if (field === '' || seen.has(field)) continue
        seen.add(field)
        const row = rowOf(collection, partition, unescapeKey(field), fields[at + 1]!)
        if (row) rows.push(row)
      }
      if (rows.length > 0) yield rows
      cursor = next.toString()
    } while (cursor !== '0')
  }
}

/** Undefined for a deleted key. */
function rowOf(
  collection: AnyCollection,
  partition: number,
  key: string,
  bytes: Buffer,
): FeedChange | undefined {
  const { stamp, version, deleted, schemaVersion, payload } = decodeStateRecord(bytes)
  if (deleted) return undefined
  return {
    collection: collection.name,
    key,
    kind: 'put',
    partition,
    stamp,
    position: formatPosition(partition, stamp),
    version: formatVersion(version, stamp.epoch),
    payload,
    value: upcast(collection, 'put', schemaVersion, JSON.parse(payload)),
    snapshot: true,
  }
}
