import { locate } from '../append/prepare.ts'
import { checkKey } from '../change/key.ts'
import type { Change } from '../change/change.ts'
import { compareStamps, stampZero, type Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { historyOf } from '../log/history.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { parkedField } from '../parking/parked-key.ts'
import { persist } from '../redis/persist.ts'
import { guardSink } from '../sink/guarded-sink.ts'
import type { AnySink, Sink } from '../sink/sink.ts'
import { LatestChanges } from '../state/latest-changes.ts'
import { StateReader } from '../state/state-reader.ts'
import { groupFeeding } from '../verify/verify.ts'
import { Presentation } from '../worker/presentation.ts'
import { checkStart } from './group-start.ts'
import { TakenPartitions } from './taken-partitions.ts'

export interface ReplayOptions {
  /** The group that feeds the sink. Default: the one under which a worker of this process runs it, or the only one there is. */
  readonly group?: string
  /** Default: what the key is now, from the state; for a sink of events its history, as far as the log has it. */
  readonly from?: 'state' | 'history'
  /**
   * Writes what the key is now in place of whatever the sink holds, also where it has the same stamp or a newer one. Never a
   * value from the history: that would take readers back. Default false.
   */
  readonly force?: boolean
  /** Called now and then. */
  readonly onProgress?: (progress: ReplayProgress) => void
}

/** How far a replay is: a history is picked out of all changes of its partition, then given to the sink change by change. */
export interface ReplayProgress {
  readonly step: 'reading' | 'applying'
  /** Changes of the partition, then of the key. */
  readonly done: number
  readonly total: number
}

export interface ReplayReport {
  readonly group: string
  readonly partition: number
  /** Changes that were offered to the sink, and how many of them it took: the others it has already, or newer ones. */
  readonly offered: number
  readonly applied: number
}

/** So many are read between two calls of `onProgress`. */
const changesAtOnce = 500

/**
 * Gives one key to a sink again, through its ordinary, stamp-gated way. Its partition is taken from its worker for that
 * moment, so nothing comes between.
 *
 * @throws HeadwaterError GROUP_UNKNOWN, GROUP_TAKEN, STATE_REQUIRED; KEY_ABSENT where there is nothing to give; OPTION_INVALID
 * for a key that is parked, and while the first copy is under way; SINK_REJECTED, SINK_UNAVAILABLE as the sink answers
 */
export async function replay(
  log: Log,
  sink: AnySink,
  key: string,
  options: ReplayOptions = {},
): Promise<ReplayReport> {
  const parts = logParts(log)
  const { collection } = sink
  checkKey(collection.name, key)
  const group = options.group ?? (await groupFeeding(parts, sink))
  const { from = sink.takes === 'events' ? 'history' : 'state', force = false, onProgress } = options
  if (from === 'state' || force) checkStart(group, sink, 'state')
  const { hasher, metadata } = parts
  const router = { hasher, partitions: metadata.partitions, buckets: metadata.buckets }
  const { partition } = locate(router, collection, key)
  await using taken = await TakenPartitions.take(parts, group, [partition], 'replay')
  const lease = taken.leases.get(partition)!
  await refuseUnready(parts, group, partition, collection.name, key, lease.copy !== undefined)

  const guarded = guardSink(sink)
  const opened = await guarded.open({
    lineage: metadata.lineage,
    group,
    partition,
    fence: taken.fence(partition),
  })
  try {
    const latest = new LatestChanges(parts, router)
    if (force) {
      const [change] = await latest.read(collection, [key])
      return { group, partition, offered: 1, applied: await overwrite(guarded, partition, key, change) }
    }
    const changes: Change[] = []
    if (from === 'state') {
      const [change] = await latest.read(collection, [key])
      if (change) changes.push(change)
    } else {
      const upToCheckpoint = changesUpTo(log, partition, lease.checkpoint, onProgress)
      for await (const change of historyOf(upToCheckpoint, collection, key)) changes.push(change)
    }
    if (changes.length === 0) throw absent(collection.name, key)
    const state = new StateReader(parts.connection, parts.keys, router, parts.deadlineMs)
    const presentation = new Presentation(guarded, state)
    let applied = 0
    for (const [at, change] of changes.entries()) {
      const [presented] = from === 'state' ? [{ change }] : await presentation.present([change])
      if ('error' in presented!) throw presented.error
      const signal = AbortSignal.timeout(60_000)
      const [outcome] = await opened.apply([presented!.change], { ...stampZero, branch: '' }, { signal })
      if (outcome!.kind === 'retry' || outcome!.kind === 'reject') throw outcome!.error
      if (outcome!.kind === 'applied') applied++
      onProgress?.({ step: 'applying', done: at + 1, total: changes.length })
    }
    return { group, partition, offered: changes.length, applied }
  } finally {
    await opened.close()
  }
}

/** What the group has had. What it has yet to get comes by itself. */
async function* changesUpTo(
  log: Log,
  partition: number,
  checkpoint: Stamp,
  onProgress: ReplayOptions['onProgress'],
): AsyncGenerator<Change> {
  let first: number | undefined
  for await (const change of log.read(partition)) {
    const { sequence } = change.stamp
    if (compareStamps(change.stamp, checkpoint) > 0) return
    first ??= sequence
    const [done, total] = [sequence - first + 1, checkpoint.sequence - first + 1]
    if (done % changesAtOnce === 0 || done === total) onProgress?.({ step: 'reading', done, total })
    yield change
  }
}

async function refuseUnready(
  { connection, keys, deadlineMs }: LogParts,
  group: string,
  partition: number,
  collection: string,
  key: string,
  copies: boolean,
): Promise<void> {
  if (copies) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `Group ${group} still gets its first copy in partition ${partition}, ${JSON.stringify(key)} with it: wait until it is done.`,
    )
  }
  const options = { doing: 'asking whether the key is parked', deadlineMs }
  const isParked = await persist(connection, options, (client) =>
    client.hexists(keys.partitions[partition]!.parkedKeys(group), parkedField(collection, key)),
  )
  if (!isParked) return
  throw new HeadwaterError(
    'OPTION_INVALID',
    `The key ${JSON.stringify(key)} is parked for group ${group}, and newer changes wait behind it: redrive it instead.`,
  )
}

/** Compare and set on what is read: nobody else writes meanwhile but a repair, or a stranger. */
async function overwrite(
  sink: Sink,
  partition: number,
  key: string,
  change: Change | undefined,
): Promise<number> {
  if (!change) throw absent(sink.collection.name, key)
  if (!sink.replace || !sink.read) {
    throw new HeadwaterError('SINK_CONTRACT', `The ${sink.name} cannot be forced: it declares no replace.`)
  }
  for (let attempt = 1; attempt <= 5; attempt++) {
    const [observed] = await sink.read([key])
    const [outcome] = await sink.replace([{ key, partition, observed, change }])
    if (outcome!.kind === 'replaced') return 1
    if (outcome!.kind === 'reject') throw outcome!.error
  }
  throw new HeadwaterError(
    'SINK_UNAVAILABLE',
    `The key ${JSON.stringify(key)} of the ${sink.name} does not stand still.`,
  )
}

function absent(collection: string, key: string): HeadwaterError {
  return new HeadwaterError(
    'KEY_ABSENT',
    `The log has nothing of the key ${JSON.stringify(key)} of ${collection} to give.`,
  )
}
