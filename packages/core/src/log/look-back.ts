import type { Batch, StreamEntry } from '../change/batch.ts'
import type { Stamp } from '../change/stamp.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { persist } from '../redis/persist.ts'
import { readHeader, type Header } from './header.ts'
import type { PastOfPartition } from './history.ts'
import { decodeEntry, readRange, type RangeOptions, type UnreadableEntry } from './range.ts'

const batchesAtOnce = 64

/** The past of one partition, as the log has it. */
export function pastOf(options: RangeOptions, namespace: string): PastOfPartition {
  return {
    partition: options.partition,
    backwards: (upTo) => readBackwards(options, namespace, upTo),
    stampAt: (time) => findStamp(options, namespace, time),
    beginsAt: () => beginningOf(options, namespace),
  }
}

async function* readBackwards(
  options: RangeOptions,
  namespace: string,
  upTo: Stamp | undefined,
): AsyncGenerator<Batch> {
  const { connection, keys, partition, deadlineMs, signal, archive } = options
  const retrying = { doing: `reading partition ${partition}`, deadlineMs, ...(signal && { signal }) }
  // An entry's ID is its last sequence: the one that holds the stamp may have a later one.
  const holding = upTo && (await readRange(options, upTo, 1))[0]
  let end = holding ? holding.id : '+'
  let first = (holding?.last ?? (await headerOf(options, namespace)).sequence) + 1
  let stray: UnreadableEntry | undefined
  for (;;) {
    signal?.throwIfAborted()
    const entries = (await persist(connection, retrying, (client) =>
      client.xrevrange(keys.log, end, '-', 'COUNT', batchesAtOnce),
    )) as StreamEntry[]
    for (const entry of entries) {
      const batch = decodeEntry(options, entry)
      if ('unreadable' in batch) {
        stray ??= batch
        continue
      }
      // What somebody else put there is no part of the log; what is missing may have been in it.
      if (stray && batch.last < first - 1) throw stray.unreadable
      stray = undefined
      yield batch
      first = batch.first
    }
    const last = entries.at(-1)
    if (!last || entries.length < batchesAtOnce) break
    end = `(${last[0]}`
  }
  if (archive && first > 1) yield* archive.before(first, await headerOf(options, namespace))
}

/** A binary search, so times that the server's clock took back make the answer only nearly right. */
async function findStamp(options: RangeOptions, namespace: string, time: number): Promise<Stamp | undefined> {
  const header = await headerOf(options, namespace)
  let [low, high] = [1, header.sequence]
  let found: Stamp | undefined
  while (low <= high) {
    const middle = Math.floor((low + high) / 2)
    const [batch] = await readRange(options, { epoch: epochOf(header, middle), sequence: middle }, 1)
    if (!batch) break
    if (batch.time <= time) {
      found = { epoch: batch.epoch, sequence: batch.last }
      low = batch.last + 1
    } else {
      // What retention removed reads as the first batch that is left: nothing below it can be found.
      high = Math.min(middle, batch.first) - 1
    }
  }
  return found ?? (header.trimmed > 0 ? await options.archive?.stampAt(time, header) : undefined)
}

/** The first sequence that can be read. */
async function beginningOf(options: RangeOptions, namespace: string): Promise<number> {
  const { trimmed } = await headerOf(options, namespace)
  const archived = trimmed > 0 ? await options.archive?.first() : undefined
  return Math.min(trimmed + 1, archived ?? Number.POSITIVE_INFINITY)
}

async function headerOf(
  { connection, keys, deadlineMs, partition }: RangeOptions,
  namespace: string,
): Promise<Header> {
  const header = await readHeader(connection, keys, deadlineMs)
  if (!header) throw missingHeader(namespace, partition)
  return header
}

/** The epoch in which a sequence of the surviving history was written. */
function epochOf({ epochs }: Header, sequence: number): number {
  let of = 1
  for (const [epoch, { inherited }] of epochs) if (inherited < sequence && epoch > of) of = epoch
  return of
}
