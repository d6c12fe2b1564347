import { unescapeKey } from '../change/key.ts'
import { formatPosition } from '../change/position.ts'
import { formatVersion } from '../change/version.ts'
import type { AnyCollection } from '../collection/collection.ts'
import type { NamespaceKeys } from '../namespace/keys.ts'
import { missingHeader } from '../namespace/metadata.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { script, type Script } from '../redis/script.ts'
import { source as listRecordsLua } from '../state/list-records.lua.ts'
import { decodeRecord, stateValue, type StateRecord } from '../state/state-record.ts'
import type { FeedChange } from './feed-change.ts'

export interface SnapshotOptions {
  readonly namespace: string
  readonly connection: Connection
  readonly keys: NamespaceKeys
  readonly buckets: number
  readonly deadlineMs: number
  readonly signal?: AbortSignal | undefined
}

const listRecords: Script = script('list-records', listRecordsLua)
const rowsAtOnce = 500

/**
 * The live entities of a collection in one partition, page by page, each once. It is not one moment: a row may be newer
 * than the beginning, which its stamp tells.
 *
 * @throws HeadwaterError LOG_DAMAGED where a part of the state is gone
 */
export async function* readSnapshot(
  { namespace, connection, keys, buckets, deadlineMs, signal }: SnapshotOptions,
  collection: AnyCollection,
  partition: number,
): AsyncGenerator<FeedChange[]> {
  const options = { doing: `reading a snapshot of ${collection.name}`, deadlineMs, ...(signal && { signal }) }
  for (let bucket = 0; bucket < buckets; bucket++) {
    const { heads, values } = keys.partitions[partition]!
    const hashes = [heads(collection.name, bucket), values(collection.name, bucket)]
    // While a hash grows, HSCAN may give a field twice.
    const seen = new Set<string>()
    let cursor = '0'
    do {
      const [next, ...fields] = (await persist(connection, options, (client) =>
        listRecords.runBuffer(client, { keys: hashes, args: [cursor, rowsAtOnce] }),
      )) as [Buffer, ...(Buffer | null)[]]
      if (next.toString() === 'missing') throw missingHeader(namespace, partition)
      const rows: FeedChange[] = []
      for (let at = 0; at + 2 < fields.length; at += 3) {
        const field = fields[at]!.toString()
        if (seen.has(field)) continue
        seen.add(field)
        const key = unescapeKey(field)
        const record = decodeRecord(collection, key, fields[at + 1]!, fields[at + 2])
        const row = rowOf(collection, partition, key, record)
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
  record: StateRecord,
): FeedChange | undefined {
  const { stamp, version, deleted, payload } = record
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
    value: stateValue(collection, key, record),
    snapshot: true,
  }
}
