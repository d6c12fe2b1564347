import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import type { Stamp } from './stamp.ts'

declare const position: unique symbol

/** A place in the log, as opaque text: hand it back unchanged. Positions of different partitions have no order. */
export type Position = string & { readonly [position]: true }

/** What a position says: the stamp of a change in one partition. */
export interface PositionParts extends Stamp {
  readonly partition: number
}

export function formatPosition(partition: number, { epoch, sequence }: Stamp): Position {
  return `${partition}:${epoch}-${sequence}` as Position
}

/** @throws HeadwaterError POSITION_INVALID */
export function parsePosition(text: string): PositionParts {
  const match = typeof text === 'string' ? /^(\d{1,5}):(\d{1,15})-(\d{1,15})$/.exec(text) : null
  if (!match) {
    throw new HeadwaterError('POSITION_INVALID', `${quoted(text)} is not a position such as "3:1-1842".`)
  }
  return { partition: Number(match[1]), epoch: Number(match[2]), sequence: Number(match[3]) }
}
