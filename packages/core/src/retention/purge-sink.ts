import { locate, type Router } from '../append/prepare.ts'
import { compareStamps, type Stamp } from '../change/stamp.ts'
import { checkKnown } from '../collection/known-collections.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { groupNames } from '../group/group-status.ts'
import { readHeader, type Header } from '../log/header.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { parkedField } from '../parking/parked-key.ts'
import { persist } from '../redis/persist.ts'
import type { AnySink } from '../sink/sink.ts'
import { StateHeads } from '../state/state-heads.ts'

export interface PurgeSinkOptions {
  /** Only counts what would go. Default false. */
  readonly dryRun?: boolean
  /** Ends between two steps. */
  readonly signal?: AbortSignal
  /** Told after every step: tombstones found that may go, those that went, and the share of the work that is done, at most 1. */
  readonly onProgress?: (found: number, removed: number, share: number) => void
}

const keysAtOnce = 100
const rowsAtOnce = 500

/**
 * Lets a sink go of its tombstones whose delete is trimmed. By then no older change of the key can come any more: groups,
 * copies, rebuilds, replays and redrives that began before it hold the log back, and what begins later cannot begin before
 * it. Keys that are parked keep theirs. Safe while workers run: a key that is written meanwhile is left alone.
 *
 * @returns how many went, or would
 * @throws HeadwaterError SINK_CONTRACT where the sink cannot list, read and replace; EVENTS_ONLY for a sink of events, which
 * counts on the versions that its tombstones hold
 */
export async function purgeSinkTombstones(
  log: Log,
  sink: AnySink,
  { dryRun = false, signal, onProgress }: PurgeSinkOptions = {},
): Promise<number> {
  const parts = logParts(log)
  checkKnown(parts.collections, sink.collection)
  const [list, read, replace] = [sink.list?.bind(sink), sink.read?.bind(sink), sink.replace?.bind(sink)]
  if (!list || !read || !replace) {
    throw new HeadwaterError(
      'SINK_CONTRACT',
      `The ${sink.name} cannot be purged of tombstones: it does not declare all of list, read and replace.`,
    )
  }
  if (sink.takes === 'events') {
    throw new HeadwaterError(
      'EVENTS_ONLY',
      `The ${sink.name} takes events: it needs its tombstones to count versions on.`,
    )
  }
  const floors = await Promise.all(parts.keys.partitions.map((_, partition) => trimmedTo(parts, partition)))
  const router: Router = { hasher: parts.hasher, ...parts.metadata }
  const heads = new StateHeads(parts.connection, parts.keys, router, parts.deadlineMs)
  const rows = onProgress ? await heads.countAll(sink.collection) : 0
  let listed = 0
  let found = 0
  let removed = 0
  const tell = (): void => onProgress?.(found, removed, Math.min(1, listed / Math.max(1, rows)))
  let some: { key: string; partition: number }[] = []
  const flush = async (): Promise<void> => {
    signal?.throwIfAborted()
    const free = await notParked(parts, sink, some)
    const seen = await read(free.map(({ key }) => key))
    const replacements = free.flatMap(({ key, partition }, at) => {
      const observed = seen[at]
      const isOld = observed?.deleted && compareStamps(observed.stamp, floors[partition]!) <= 0
      // Where a stranger has put something, it is for verify to tell.
      return isOld && observed.value === undefined ? [{ key, partition, observed, change: undefined }] : []
    })
    const outcomes = dryRun ? [] : await replace(replacements)
    removed += dryRun ? replacements.length : outcomes.filter(({ kind }) => kind === 'replaced').length
    some = []
    tell()
  }
  for await (const { key, deleted, stamp } of list(signal && { signal })) {
    if (++listed % rowsAtOnce === 0) tell()
    if (!deleted || key === '') continue
    const { partition } = locate(router, sink.collection, key)
    if (compareStamps(stamp, floors[partition]!) > 0) continue
    found++
    some.push({ key, partition })
    if (some.length === keysAtOnce) await flush()
  }
  if (some.length > 0) await flush()
  onProgress?.(found, removed, 1)
  return removed
}

/** The last stamp that is trimmed. What was written in earlier epochs and is not lost is before it. */
async function trimmedTo(
  { connection, keys, namespace, deadlineMs }: LogParts,
  partition: number,
): Promise<Stamp> {
  const header = await readHeader(connection, keys.partitions[partition]!, deadlineMs)
  if (!header) throw missingHeader(namespace, partition)
  return { epoch: epochOf(header, header.trimmed), sequence: header.trimmed }
}

function epochOf({ epochs }: Header, sequence: number): number {
  let of = 1
  for (const [epoch, { inherited }] of epochs) if (inherited < sequence && epoch > of) of = epoch
  return of
}

/** Those that no group has set aside: what is parked of a key may be older than its tombstone, and may come back. */
async function notParked<Key extends { readonly key: string; readonly partition: number }>(
  { connection, keys, deadlineMs }: LogParts,
  { collection }: AnySink,
  some: readonly Key[],
): Promise<Key[]> {
  const groups = await groupNames(connection, keys, deadlineMs)
  const options = { doing: 'looking for parked keys', deadlineMs }
  const parked = await Promise.all(
    some.map(({ key, partition }) =>
      persist(connection, options, (client) =>
        Promise.all(
          groups.map((group) =>
            client.hexists(keys.partitions[partition]!.parkedKeys(group), parkedField(collection.name, key)),
          ),
        ),
      ),
    ),
  )
  return some.filter((_, at) => parked[at]!.every((is) => is === 0))
}
