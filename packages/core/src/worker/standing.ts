import type { Stamp } from '../change/stamp.ts'
import { sharedUpTo, stampOf, survivedUpTo, type Header } from '../log/header.ts'
import type { SinkPosition } from '../sink/sink.ts'

/** Changes that were acknowledged in this epoch, and are not in the log any more. */
export interface LostHistory {
  readonly epoch: number
  readonly from: number
  readonly to: number
}

/** Where a sink stands in the log's history. */
export interface Standing {
  readonly stamp: Stamp
  readonly ahead?: LostHistory
  readonly lost?: LostHistory
}

/**
 * Where a sink stands in the log's history. What it has seen and the log does not have any more is `lost` where a later
 * epoch has begun already, and `ahead` where one has to begin, so that new changes win over it.
 */
export function standingOf(header: Header, position: SinkPosition | undefined): Standing {
  if (!position) return { stamp: { epoch: 0, sequence: 0 } }
  const shared = sharedUpTo(header, position)
  if (position.sequence <= shared) return { stamp: { epoch: position.epoch, sequence: position.sequence } }
  const lost = { epoch: position.epoch, from: shared + 1, to: position.sequence }
  if (position.epoch >= header.epoch) return { stamp: { epoch: 0, sequence: 0 }, ahead: lost }
  // An epoch above the sink's is open already: it goes on where the histories part.
  return { stamp: stampOf(header, shared), lost }
}

/** The checkpoint as far as it is in the surviving history. */
export function survivingStamp(header: Header, stamp: Stamp): Stamp {
  const survived = survivedUpTo(header, stamp)
  return stamp.sequence <= survived ? stamp : { epoch: stamp.epoch, sequence: survived }
}
