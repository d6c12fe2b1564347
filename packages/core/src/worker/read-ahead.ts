import type { LeaseRequest } from '../group/lease.ts'
import type { Header } from '../log/header.ts'
import type { Prover } from '../proof/prover.ts'
import { backoffMs, type Backoff } from '../redis/backoff.ts'
import { pause } from '../redis/persist.ts'
import type { Sink } from '../sink/sink.ts'
import type { Aside } from './aside.ts'
import type { Branches } from './branches.ts'
import type { Dispatcher } from './dispatcher.ts'
import { readFailure } from './partition-end.ts'
import type { PartitionLife } from './partition-life.ts'
import type { PartitionReader } from './partition-reader.ts'
import type { WorkerEvent } from './worker-event.ts'

export interface ReadAheadOptions {
  readonly request: LeaseRequest
  readonly partition: number
  readonly sink: Sink
  readonly prover: Prover
  readonly life: PartitionLife
  /** Bounds of what is read and not yet done. */
  readonly prefetch: { readonly changes: number; readonly size: number }
  readonly onEvent: (event: WorkerEvent) => void
  readonly reader: PartitionReader
  readonly dispatcher: Dispatcher
  readonly aside: Aside
  readonly branches: Branches
  readonly readHeader: () => Promise<Header>
}

const blockMs = 2_000
const batchesAtOnceMax = 64
const betweenReads: Backoff = { firstMs: 50, maxMs: 1_000 }

/**
 * Reads the log into the dispatcher, as far ahead of the sink as it may, until the partition is given up. A read that fails
 * is tried again; damage and forked history are the caller's.
 */
export async function readAhead(options: ReadAheadOptions): Promise<void> {
  const { request, partition, sink, prover, life, prefetch, onEvent } = options
  const { reader, dispatcher, aside, branches } = options
  let failures = 0
  // Until some were seen, batches count as large: a backlog must not arrive in one piece.
  let changesPerBatch = 1_000
  let sizePerBatch = 262_144
  while (!life.ending) {
    const room = prefetch.changes - dispatcher.waiting
    if (room <= 0 || dispatcher.size >= prefetch.size) {
      await life.changed.wait()
      continue
    }
    try {
      const sizeRoom = prefetch.size - dispatcher.size
      const fitting = Math.floor(Math.min(room / changesPerBatch, sizeRoom / sizePerBatch))
      const { batches, known, strays, groupRestored } = await reader.next(
        Math.max(1, Math.min(batchesAtOnceMax, fitting)),
        blockMs,
      )
      failures = 0
      for (const { id, unreadable } of strays) if (!(await aside.setEntryAside(id, unreadable))) return
      if (groupRestored) onEvent({ kind: 'group-restored', group: request.group, partition })
      let changes = 0
      let size = 0
      for (const { batch, skip } of batches) {
        if (!branches.knows(batch.epoch)) branches.learn(await options.readHeader())
        dispatcher.push(batch, skip)
        if (batch.marker && !sink.capabilities.snapshot) prover.refuse(batch.marker)
        changes += batch.changes.length
        size += batch.size
      }
      if (batches.length > 0) {
        changesPerBatch = Math.max(1, changes / batches.length)
        sizePerBatch = Math.max(1, size / batches.length)
      }
      for (const id of known) dispatcher.known(id)
      if (batches.length > 0 || known.length > 0) life.changed.notify()
    } catch (error) {
      if (life.ending) return
      const failed = readFailure(error)
      if (!failed) throw error
      failures++
      if (failures === 1 || failures % 10 === 0) {
        onEvent({ kind: 'retrying', group: request.group, partition, error: failed, attempt: failures })
      }
      await pause(backoffMs(betweenReads, failures), life.signal).catch(() => {})
    }
  }
}
