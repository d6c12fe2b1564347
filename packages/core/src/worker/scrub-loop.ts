import type { LogParts } from '../namespace/log-parts.ts'
import { scrubPartition, type ScrubFinding } from '../proof/scrub.ts'
import { pause } from '../redis/persist.ts'
import type { Sink } from '../sink/sink.ts'

export interface ScrubLoopOptions {
  readonly parts: LogParts
  readonly sink: Sink
  readonly group: string
  readonly keysPerSecond: number
  /** The partitions that this worker holds now. */
  readonly held: () => readonly number[]
  readonly onDifference: (found: ScrubFinding) => void
  readonly signal: AbortSignal
}

const lookMs = 1_000

/**
 * Scrubs the partitions of a group that this worker holds, one after the other, again and again. A partition that is handed
 * over in the middle is gone on with by its next owner.
 */
export async function scrubHeld(options: ScrubLoopOptions): Promise<void> {
  const { held, signal } = options
  let last = -1
  while (!signal.aborted) {
    const partitions = held().toSorted((a, b) => a - b)
    const next = partitions.find((partition) => partition > last) ?? partitions[0]
    if (next !== undefined) {
      last = next
      await scrubWhileHeld(options, next)
    }
    // Redis or the sink may be away, and a pass over a few keys is soon over.
    await pause(lookMs, signal).catch(() => {})
  }
}

async function scrubWhileHeld(
  { parts, sink, group, keysPerSecond, held, onDifference, signal }: ScrubLoopOptions,
  partition: number,
): Promise<void> {
  const ending = new AbortController()
  const watch = setInterval(() => {
    if (!held().includes(partition)) ending.abort()
  }, lookMs)
  try {
    await scrubPartition(parts, sink, group, partition, {
      keysPerSecond,
      signal: AbortSignal.any([signal, ending.signal]),
      onDifference,
    })
  } catch {
    // Handed over, stopped, or not to be read now: the next pass goes on where this one was.
  } finally {
    clearInterval(watch)
  }
}
