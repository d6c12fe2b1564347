import type { Cursor } from '../cursor.ts'
import { readLength, readUint64 } from '../lengths.ts'
import type {
  PendingEntry,
  StreamConsumer,
  StreamEntry,
  StreamGroup,
  StreamId,
  StreamValue,
} from '../rdb-value.ts'
import { readBlob, readString } from '../strings.ts'
import { readStreamNode } from './stream-node.ts'

/** 1: Redis 5.0 to 6.2. 2: 7.0. 3: 7.2 and later. */
type StreamFormat = 1 | 2 | 3

const ENTRIES_READ_UNKNOWN = 2n ** 64n - 1n

export function readStream(cursor: Cursor, format: StreamFormat): StreamValue {
  const entries = readEntries(cursor)
  const count = readLength(cursor)
  if (count !== entries.length) cursor.corrupt(`A stream of ${entries.length} entries claims ${count}.`)
  const lastId = readWrittenId(cursor)
  if (format === 1) return { type: 'stream', entries, lastId, groups: readGroups(cursor, format) }
  // The first entry's ID, which follows from the entries.
  readWrittenId(cursor)
  const maxDeletedId = readWrittenId(cursor)
  const entriesAdded = readUint64(cursor)
  return { type: 'stream', entries, lastId, maxDeletedId, entriesAdded, groups: readGroups(cursor, format) }
}

function formatStreamId({ ms, sequence }: StreamId): string {
  return `${ms}-${sequence}`
}

function readEntries(cursor: Cursor): StreamEntry[] {
  const nodes = readLength(cursor)
  const entries: StreamEntry[] = []
  for (let node = 0; node < nodes; node++) {
    const name = readString(cursor)
    if (name.length !== 16) cursor.corrupt(`A node of a stream cannot have an ID of ${name.length} bytes.`)
    const first = { ms: name.readBigUInt64BE(0), sequence: name.readBigUInt64BE(8) }
    for (const entry of readStreamNode(readBlob(cursor), first)) entries.push(entry)
  }
  checkAscending(cursor, entries)
  return entries
}

function readGroups(cursor: Cursor, format: StreamFormat): StreamGroup[] {
  const count = readLength(cursor)
  const groups: StreamGroup[] = []
  for (let index = 0; index < count; index++) groups.push(readGroup(cursor, format))
  return groups
}

function readGroup(cursor: Cursor, format: StreamFormat): StreamGroup {
  const name = readString(cursor)
  const lastDeliveredId = readWrittenId(cursor)
  const entriesRead = format === 1 ? ENTRIES_READ_UNKNOWN : readUint64(cursor)
  const deliveries = readDeliveries(cursor)
  const consumers: StreamConsumer[] = []
  const pending: PendingEntry[] = []
  const consumerCount = readLength(cursor)
  for (let index = 0; index < consumerCount; index++) {
    const consumer = readConsumer(cursor, format)
    consumers.push(consumer)
    for (const id of readOwnPending(cursor)) {
      const delivery = deliveries.get(formatStreamId(id))
      if (delivery === undefined)
        cursor.corrupt(`${formatStreamId(id)} is pending at a consumer, but not in its group.`)
      deliveries.delete(formatStreamId(id))
      pending.push({ ...delivery, consumer: consumer.name })
    }
  }
  if (deliveries.size > 0) cursor.corrupt(`${[...deliveries.keys()][0]} is pending, but at no consumer.`)
  pending.sort((a, b) => compareIds(a.id, b.id))
  const known = entriesRead === ENTRIES_READ_UNKNOWN ? {} : { entriesRead }
  return { name, lastDeliveredId, ...known, consumers, pending }
}

function readDeliveries(cursor: Cursor): Map<string, Omit<PendingEntry, 'consumer'>> {
  const deliveries = new Map<string, Omit<PendingEntry, 'consumer'>>()
  const count = readLength(cursor)
  for (let index = 0; index < count; index++) {
    const id = readRawId(cursor)
    const deliveredAtMs = cursor.int64le()
    const text = formatStreamId(id)
    if (deliveries.has(text)) cursor.corrupt(`${text} is pending twice in one group.`)
    deliveries.set(text, { id, deliveredAtMs, deliveries: readUint64(cursor) })
  }
  return deliveries
}

function readConsumer(cursor: Cursor, format: StreamFormat): StreamConsumer {
  const name = readString(cursor)
  const seenAtMs = cursor.int64le()
  const activeAtMs = format === 3 ? cursor.int64le() : -1n
  return activeAtMs < 0n ? { name, seenAtMs } : { name, seenAtMs, activeAtMs }
}

function readOwnPending(cursor: Cursor): StreamId[] {
  const count = readLength(cursor)
  const ids: StreamId[] = []
  for (let index = 0; index < count; index++) ids.push(readRawId(cursor))
  return ids
}

function readWrittenId(cursor: Cursor): StreamId {
  return { ms: readUint64(cursor), sequence: readUint64(cursor) }
}

function readRawId(cursor: Cursor): StreamId {
  return { ms: cursor.uint64be(), sequence: cursor.uint64be() }
}

function checkAscending(cursor: Cursor, entries: readonly StreamEntry[]): void {
  for (let at = 1; at < entries.length; at++) {
    if (compareIds(entries[at - 1]!.id, entries[at]!.id) >= 0)
      cursor.corrupt(`${formatStreamId(entries[at]!.id)} is out of order in a stream.`)
  }
}

function compareIds(a: StreamId, b: StreamId): number {
  if (a.ms !== b.ms) return a.ms < b.ms ? -1 : 1
  return a.sequence < b.sequence ? -1 : a.sequence > b.sequence ? 1 : 0
}
