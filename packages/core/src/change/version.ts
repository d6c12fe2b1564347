import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'

declare const version: unique symbol

/**
 * The version of one key, as opaque text: "7", or "7@2" when it was written in epoch 2, so that an
 * expectation from a history that a failover lost cannot match a version of the history that survived.
 */
export type Version = string & { readonly [version]: true }

export interface VersionParts {
  readonly number: number
  readonly epoch: number
}

export function formatVersion(number: number, epoch: number): Version {
  return (epoch === 1 ? `${number}` : `${number}@${epoch}`) as Version
}

/** @throws HeadwaterError VERSION_INVALID */
export function parseVersion(text: string): VersionParts {
  const match = typeof text === 'string' ? /^([1-9]\d{0,14})(?:@([1-9]\d{0,14}))?$/.exec(text) : null
  if (!match) {
    throw new HeadwaterError('VERSION_INVALID', `${quoted(text)} is not a version such as "7" or "7@2".`)
  }
  return { number: Number(match[1]), epoch: Number(match[2] ?? 1) }
}
