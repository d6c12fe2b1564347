import type { Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'

/** Everything up to this stamp is applied, superseded or parked at the group's sink. Stored as "epoch-sequence". */
export type Checkpoint = Stamp

export function formatCheckpoint({ epoch, sequence }: Checkpoint): string {
  return `${epoch}-${sequence}`
}

/** @throws HeadwaterError LOG_DAMAGED */
export function parseCheckpoint(text: string | null | undefined): Checkpoint {
  const match = /^(\d{1,15})-(\d{1,15})$/.exec(text ?? '')
  if (!match)
    throw new HeadwaterError(
      'LOG_DAMAGED',
      `A group's checkpoint is ${JSON.stringify(text)}, which is none: somebody has written there. Restore the record of the group, or retire the group and begin it again.`,
    )
  return { epoch: Number(match[1]), sequence: Number(match[2]) }
}
