import type { Hasher } from '../change/content-hash.ts'
import type { Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Header } from '../log/header.ts'

declare const feedPosition: unique symbol

/**
 * How far a feed has come in all partitions, as opaque text of letters, digits, "." and "-": hand it back unchanged to
 * go on from there.
 */
export type FeedPosition = string & { readonly [feedPosition]: true }

/** What a feed position says. */
export interface FeedPositionParts {
  /** Of the log and the branches of history that the stamps belong to. */
  readonly history: string
  /** By partition: everything up to here was given. */
  readonly stamps: readonly Stamp[]
}

export function formatFeedPosition({ history, stamps }: FeedPositionParts): FeedPosition {
  let text = history
  for (const { epoch, sequence } of stamps) text += `.${epoch}-${sequence}`
  return text as FeedPosition
}

/** @throws HeadwaterError POSITION_INVALID */
export function parseFeedPosition(text: string, partitions: number): FeedPositionParts {
  if (typeof text !== 'string' || !/^[0-9a-f]{8}(?:\.\d{1,15}-\d{1,15})+$/.test(text)) {
    throw new HeadwaterError(
      'POSITION_INVALID',
      `${JSON.stringify(text).slice(0, 100)} is not a position of a feed.`,
    )
  }
  const [history = '', ...parts] = text.split('.')
  if (parts.length !== partitions) {
    throw new HeadwaterError(
      'POSITION_INVALID',
      `The position of a feed over ${parts.length} partitions does not fit this log, which has ${partitions}.`,
    )
  }
  const stamps = parts.map((part) => {
    const [epoch = 0, sequence = 0] = part.split('-').map(Number)
    return { epoch, sequence }
  })
  return { history, stamps }
}

/**
 * Tells apart histories in which the same stamps mean other changes: another log of the same name, or an epoch that was
 * opened twice because the first one was lost with its server.
 */
export function historyOf(
  hasher: Hasher,
  lineage: string,
  headers: readonly (Header | undefined)[],
  stamps: readonly Stamp[],
): string {
  const branches = stamps.map(({ epoch }, partition) => headers[partition]?.epochs.get(epoch)?.branch ?? '')
  return hasher
    .key([lineage, ...branches].join(' '))
    .toString(16)
    .padStart(8, '0')
}
