import { parsePosition } from '../change/position.ts'
import { stampZero, type Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { formatCheckpoint } from '../group/checkpoint.ts'
import { source as epochLua } from '../namespace/epoch.lua.ts'
import { source as epochsLua } from '../namespace/epochs.lua.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { persist } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import type { HoldKind } from './holds.ts'
import { retentionSettings } from './settings.ts'
import { source as trimLua } from './trim.lua.ts'

const trimScript = script('trim', epochLua, epochsLua, trimLua)

/** What one call of the script removes at most. At 1 KB a change about 10 MB, which takes a few milliseconds. */
const changesAtOnce = 10_000

export interface TrimOptions {
  /** Only says what would be removed. Default false. */
  readonly dryRun?: boolean
  /** Ends between two steps; what is trimmed by then stays so. */
  readonly signal?: AbortSignal
  /** Told after every step. */
  readonly onProgress?: (progress: TrimProgress) => void
}

export interface TrimProgress {
  readonly partition: number
  readonly partitions: number
  /** Changes removed so far, over all partitions. */
  readonly removed: number
  /** Changes that this partition still has to lose. */
  readonly left: number
}

/** What trimming did to one partition. */
export interface PartitionTrim {
  readonly partition: number
  /** Changes that were removed (in a dry run: would be). */
  readonly removed: number
  /** Up to which sequence everything is gone. */
  readonly trimmed: number
  /** Who needs what follows; undefined where nobody does and only the retention time keeps it. */
  readonly heldBy: { readonly kind: 'group' | HoldKind; readonly name: string } | undefined
}

/**
 * Removes from the log what is older than the retention time and behind everybody who is registered: groups by what their
 * sinks have saved, and holds. Safe to run beside everything, itself included, and to kill: every step is whole.
 *
 * @throws HeadwaterError LOG_DAMAGED, REDIS_UNAVAILABLE, REDIS_REFUSED; the signal's reason when it aborts
 */
export async function trim(log: Log, options: TrimOptions = {}): Promise<PartitionTrim[]> {
  const { onProgress, signal, dryRun = false } = options
  const { retentionMs } = await retentionSettings(log)
  const parts = logParts(log)
  const trims: PartitionTrim[] = []
  let removedBefore = 0
  for (let partition = 0; partition < log.partitions; partition++) {
    const old = await lastOlderThan(log, partition, retentionMs)
    let removed = 0
    let before: number | undefined
    for (;;) {
      signal?.throwIfAborted()
      const step = await trimStep(parts, partition, old, dryRun || before === undefined ? 0 : changesAtOnce)
      before ??= step.trimmed
      removed = (dryRun ? Math.max(step.floor, before) : step.trimmed) - before
      onProgress?.({
        partition,
        partitions: log.partitions,
        removed: removedBefore + removed,
        left: Math.max(0, step.floor - step.trimmed),
      })
      if (!dryRun && !step.reached) continue
      trims.push({ partition, removed, trimmed: step.trimmed, heldBy: step.heldBy })
      break
    }
    removedBefore += removed
  }
  return trims
}

/** The last change that was appended before the retention time: what came before it may go. */
async function lastOlderThan(log: Log, partition: number, retentionMs: number): Promise<Stamp> {
  if (retentionMs === 0) return parsePosition(await log.end(partition))
  const { connection, deadlineMs } = logParts(log)
  const options = { doing: 'reading the time', deadlineMs }
  const [seconds] = await persist(connection, options, (client) => client.time())
  const position = await log.positionAt(partition, Number(seconds) * 1_000 - retentionMs)
  return position === 'beginning' ? stampZero : parsePosition(position)
}

interface TrimStep {
  readonly trimmed: number
  readonly floor: number
  readonly reached: boolean
  readonly heldBy: PartitionTrim['heldBy']
}

async function trimStep(log: LogParts, partition: number, old: Stamp, changes: number): Promise<TrimStep> {
  const { connection, keys, namespace, deadlineMs } = log
  const of = keys.partitions[partition]!
  const options = { doing: `trimming partition ${partition}`, deadlineMs }
  for (;;) {
    const groups = (await persist(connection, options, (client) => client.hkeys(of.groups))).filter(
      (name) => name !== '',
    )
    const input = {
      keys: [of.header, of.log, of.groups, of.holds, ...groups.map((group) => of.group(group))],
      args: [formatCheckpoint(old), changes, ...groups],
    }
    const reply = await persist(connection, options, (client) => trimScript.run(client, input))
    const [word, ...rest] = reply as [string, ...(string | number)[]]
    if (word === 'groups') continue
    if (word === 'missing') throw missingHeader(namespace, partition)
    if (word === 'stray') {
      throw new HeadwaterError(
        'LOG_DAMAGED',
        `Entry ${rest[0]}, the first of partition ${partition}, is no batch of ours, so nothing is trimmed.`,
      )
    }
    const [, trimmed, floor, reached, kind, name] = rest
    return {
      trimmed: Number(trimmed),
      floor: Number(floor),
      reached: reached === 1,
      heldBy: kind === '' ? undefined : { kind: kind as 'group' | HoldKind, name: String(name) },
    }
  }
}
