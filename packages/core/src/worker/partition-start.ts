import { compareStamps, type Stamp } from '../change/stamp.ts'
import type { Lease } from '../group/lease.ts'
import type { Header } from '../log/header.ts'
import type { SinkPosition } from '../sink/sink.ts'
import { standingOf, survivingStamp, type LostHistory } from './standing.ts'

/** From where a worker goes on with a partition. */
export interface PartitionStart {
  /** The group's checkpoint, as far as it is in the surviving history. */
  readonly checkpoint: Stamp
  /** Where the reader begins: before the checkpoint where the sink has lost something since. */
  readonly readAfter: Stamp
  /** What the sink has stored of where it stands. */
  readonly saved: Stamp
  /** What the sink has seen of a history that the log has lost, where an epoch above it has yet to begin. */
  readonly ahead: LostHistory | undefined
  /** What else was acknowledged and is lost. */
  readonly lost: readonly LostHistory[]
  /** The sink has lost what it told that it had stored. */
  readonly isSinkBehind: boolean
}

/** From what the log, the group and the sink each know to be done. Pure. */
export function startOf(
  header: Header,
  lease: Pick<Lease, 'checkpoint' | 'saved' | 'copy'>,
  sinkPosition: SinkPosition | undefined,
): PartitionStart {
  const standing = standingOf(header, sinkPosition)
  const checkpoint = survivingStamp(header, lease.checkpoint)
  const lost: LostHistory[] = []
  if (compareStamps(checkpoint, lease.checkpoint) !== 0 && lease.checkpoint.sequence > checkpoint.sequence) {
    const { epoch, sequence: to } = lease.checkpoint
    lost.push({ epoch, from: checkpoint.sequence + 1, to })
  }
  if (standing.lost) lost.push(standing.lost)
  // Whatever the sink held before: behind the copy it stands where the group does.
  const isBehind = !lease.copy && standing.stamp.sequence < checkpoint.sequence
  const readAfter = isBehind ? standing.stamp : checkpoint
  return {
    checkpoint,
    readAfter,
    saved: lease.copy ? checkpoint : standing.stamp,
    ahead: standing.ahead,
    lost,
    isSinkBehind: readAfter.sequence < Math.min(checkpoint.sequence, lease.saved.sequence),
  }
}
