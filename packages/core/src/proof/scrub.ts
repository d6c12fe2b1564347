import { HeadwaterError } from '../errors/headwater-error.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { pause, persist } from '../redis/persist.ts'
import type { AnySink } from '../sink/sink.ts'
import { KeyJudge } from '../verify/key-judge.ts'
import { checkComparable, groupFeeding, verifyPartition, type Difference } from '../verify/verify.ts'
import {
  formatScrub,
  parseScrub,
  parseScrubStatus,
  type ScrubProgress,
  type ScrubStatus,
} from './scrub-progress.ts'

export interface ScrubOptions {
  /** The group that feeds the sink. Default: as for `verify`. */
  readonly group?: string
  /** At most so many values are read in a second. Default 1,000. */
  readonly keysPerSecond?: number
  readonly signal?: AbortSignal
  /** Called now and then with the keys looked at, and how much of the way is done, from 0 to 1. */
  readonly onProgress?: (checked: number, share: number) => void
  /** Called for each key that differs, as it is found. */
  readonly onDifference?: (found: ScrubFinding) => void
}

/** A key whose stored value is not what the log says. */
export interface ScrubFinding {
  readonly partition: number
  readonly key: string
  readonly verdict: Difference['verdict']
}

export interface ScrubReport {
  readonly group: string
  /** Keys looked at, those before an interruption included. */
  readonly checked: number
  /** Keys that differed, those before an interruption included. */
  readonly found: number
}

const keysAtOnce = 200
const judgeMs = 2_000
const foreignListed = 1_000

/**
 * Walks through all stored values of a sink, slowly, and compares each with the log: one pass. It finds what was done behind
 * the sink's back, which its bookkeeping does not show. How far it is stands beside the group, so whoever calls it again
 * goes on where the last one was interrupted.
 *
 * @throws HeadwaterError SINK_CONTRACT, STATE_REQUIRED, COLLECTION_UNKNOWN, GROUP_UNKNOWN, OPTION_INVALID
 */
export async function scrub(log: Log, sink: AnySink, options: ScrubOptions = {}): Promise<ScrubReport> {
  const { keysPerSecond = 1_000, signal, onProgress, onDifference } = options
  const parts = logParts(log)
  checkComparable(parts, sink)
  const group = options.group ?? (await groupFeeding(parts, sink))
  const { partitions, buckets } = parts.metadata
  const done = await passesOf(parts, group)
  const target = Math.min(...done.map(({ passes }) => passes)) + 1
  let [checked, found] = [0, 0]
  for (let partition = 0; partition < partitions; partition++) {
    const before = checked
    const last = done[partition]!
    if (last.passes >= target) {
      // Before an interruption.
      checked += last.keys
      found += last.found
      continue
    }
    const pass = await scrubPartition(parts, sink, group, partition, {
      keysPerSecond,
      ...(signal && { signal }),
      onBucket: (progress) => {
        onProgress?.(before + progress.keys, (partition + progress.bucket / buckets) / partitions)
      },
      onDifference,
    })
    checked += pass.keys
    found += pass.found
  }
  return { group, checked, found }
}

export interface PartitionScrubOptions {
  readonly keysPerSecond: number
  readonly signal?: AbortSignal
  /** Called when a bucket is done: there an interrupted pass goes on. */
  readonly onBucket?: (progress: ScrubProgress) => void
  readonly onDifference: ScrubOptions['onDifference']
}

/** One pass over one partition, or what is left of it. */
export async function scrubPartition(
  parts: LogParts,
  sink: AnySink,
  group: string,
  partition: number,
  { keysPerSecond, signal, onBucket, onDifference }: PartitionScrubOptions,
): Promise<ScrubProgress> {
  if (!(keysPerSecond > 0)) {
    throw new HeadwaterError('OPTION_INVALID', `keysPerSecond ${String(keysPerSecond)} must be more than 0.`)
  }
  const judge = new KeyJudge(parts, sink, group, true)
  const books = booksOf(parts, group, partition)
  let { bucket, keys, found } = await books.read()
  const tell = (key: string, verdict: Difference['verdict']): void => {
    found++
    onDifference?.({ partition, key, verdict })
  }
  for (; bucket < parts.metadata.buckets; bucket++) {
    for await (const page of judge.heads.list(sink.collection, partition, bucket)) {
      const names = [...page.keys()]
      for (let from = 0; from < names.length; from += keysAtOnce) {
        signal?.throwIfAborted()
        const some = names.slice(from, from + keysAtOnce)
        const beganAt = performance.now()
        for (const { key, verdict } of await judge.judge(some)) {
          if (verdict !== 'equal' && verdict !== 'parked' && verdict !== 'behind') tell(key, verdict)
        }
        keys += some.length
        await pause((some.length / keysPerSecond) * 1_000 - (performance.now() - beganAt), signal)
      }
    }
    await books.write({ bucket: bucket + 1, keys, found })
    onBucket?.({ bucket: bucket + 1, keys, found })
  }
  // The walk goes along the log's keys. What the log does not know is found from the other side.
  if (sink.digest) {
    const { differences } = await verifyPartition(parts, sink, group, partition, judgeMs, foreignListed)
    for (const { key, verdict } of differences) if (verdict === 'foreign') tell(key, verdict)
  }
  await books.finish({ keys, found })
  return { bucket, keys, found }
}

async function passesOf(parts: LogParts, group: string): Promise<ScrubStatus[]> {
  const options = { doing: 'reading how far a scrub is', deadlineMs: parts.deadlineMs }
  return await persist(parts.connection, options, (client) =>
    Promise.all(
      parts.keys.partitions.map(async (of) => parseScrubStatus(await client.hgetall(of.group(group)), 0)),
    ),
  )
}

/** Where a pass over a partition is noted. */
function booksOf({ connection, keys, deadlineMs }: LogParts, group: string, partition: number) {
  const key = keys.partitions[partition]!.group(group)
  const options = { doing: 'noting how far a scrub is', deadlineMs }
  const start = { bucket: 0, keys: 0, found: 0 }
  return {
    read: async (): Promise<ScrubProgress> =>
      parseScrub(await persist(connection, options, (client) => client.hget(key, 'scrub'))) ?? start,
    write: (progress: ScrubProgress): Promise<unknown> =>
      persist(connection, options, (client) => client.hset(key, 'scrub', formatScrub(progress))),
    finish: ({ keys: checked, found }: Omit<ScrubProgress, 'bucket'>): Promise<unknown> =>
      persist(connection, options, async (client) => {
        const [seconds, microseconds] = await client.time()
        const now = Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000)
        const { passes } = parseScrubStatus(await client.hgetall(key), now)
        const scrubbed = `${now} ${checked} ${found} ${passes + 1}`
        await client.hset(key, 'scrub', formatScrub(start), 'scrubbed', scrubbed)
      }),
  }
}
