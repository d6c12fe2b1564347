import { HeadwaterError } from '../errors/headwater-error.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { pause, persist } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import { source as askLua } from './ask-redrive.lua.ts'
import type { ParkedEntry, ParkedFilter } from './parked-entry.ts'
import { byPartition, ParkedList, type Found } from './parked-list.ts'

const askScript = script('ask-redrive', askLua)

export interface RedriveOptions extends ParkedFilter {
  /** Only says what would be fed back. Default false. */
  readonly dryRun?: boolean
  /** At most so many changes a second are asked for. Default 1,000. */
  readonly changesPerSecond?: number
  /** Gives up waiting, not redriving, after so long without any key getting done, in ms. Default 30,000. */
  readonly timeoutMs?: number
  /** Takes back what is not on its way yet, and rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Called as keys get done, with how many of them are. */
  readonly onProgress?: (done: number, total: number) => void
}

export interface RedriveReport {
  readonly dryRun: boolean
  /** Keys that matched. */
  readonly selected: number
  /** Keys of which nothing is parked any more. */
  readonly redriven: number
  /** Changes that were set aside of them when it began. */
  readonly changes: number
  /** Keys that the sink rejects again, with the reason of today. */
  readonly refused: readonly ParkedEntry[]
  /** Keys whose owner has not come to it yet: it stays asked for, and whoever takes the partition does it. */
  readonly waiting: readonly ParkedEntry[]
  /** What matched, in a dry run. */
  readonly planned: readonly ParkedEntry[]
}

const tickMs = 50

/**
 * Has parked keys fed back to their sink by the workers that own the partitions, in order, rate limited. What it asks for
 * is kept in Redis key by key, so it may be killed at any point: run again, it goes on with what is left.
 */
export async function redrive(
  parts: LogParts,
  group: string,
  options: RedriveOptions = {},
): Promise<RedriveReport> {
  const { dryRun = false, changesPerSecond = 1_000, timeoutMs = 30_000, signal, onProgress } = options
  if (!(changesPerSecond > 0)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `changesPerSecond ${String(changesPerSecond)} must be above 0.`,
    )
  }
  const list = new ParkedList(parts, group)
  const selected = await list.find(options)
  const report = { dryRun, selected: selected.length, redriven: 0, changes: 0 }
  if (dryRun) {
    const planned = selected.map(({ entry }) => entry)
    const changes = planned.reduce((sum, entry) => sum + entry.changes, 0)
    return { ...report, changes, refused: [], waiting: [], planned }
  }

  const ahead = [...selected]
  let open: Found[] = []
  const refused: ParkedEntry[] = []
  let allowance = 1
  let changedAt = performance.now()
  let lookedAt = changedAt
  try {
    while (ahead.length > 0 || open.length > 0) {
      signal?.throwIfAborted()
      const asked: Found[] = []
      while (ahead.length > 0 && allowance > 0) {
        const next = ahead.shift()!
        allowance -= next.entry.changes
        asked.push(next)
      }
      await ask(parts, group, 'ask', asked)
      open.push(...asked)
      const still: Found[] = []
      for (const [found, now] of await list.again(open)) {
        if (!now) {
          report.redriven++
          report.changes += found.entry.changes
        } else if (!now.redriving) refused.push(now)
        else still.push(found)
      }
      if (still.length < open.length || asked.length > 0) changedAt = performance.now()
      if (still.length < open.length) onProgress?.(report.redriven + refused.length, selected.length)
      open = still
      if (ahead.length === 0 && open.length > 0 && performance.now() - changedAt > timeoutMs) break
      if (ahead.length > 0 || open.length > 0) await pause(tickMs, signal)
      allowance = Math.min(
        changesPerSecond,
        allowance + (changesPerSecond * (performance.now() - lookedAt)) / 1_000,
      )
      lookedAt = performance.now()
    }
  } catch (error) {
    if (signal?.aborted) await ask(parts, group, 'withdraw', open)
    throw error
  }
  return { ...report, refused, waiting: open.map(({ entry }) => entry), planned: [] }
}

async function ask(
  parts: LogParts,
  group: string,
  action: 'ask' | 'withdraw',
  keys: readonly Found[],
): Promise<void> {
  const options = { doing: `asking group ${group} to feed keys back`, deadlineMs: parts.deadlineMs }
  for (const [partition, found] of byPartition(keys)) {
    const of = parts.keys.partitions[partition]!
    const input = {
      keys: [of.group(group), of.parkedKeys(group)],
      args: [action, ...found.map(({ field }) => field)],
    }
    await persist(parts.connection, options, (client) => askScript.run(client, input))
  }
}
