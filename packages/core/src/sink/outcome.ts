import type { Change } from '../change/change.ts'
import type { Version } from '../change/version.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'

/** What a sink did with one change. A value, because a rejected change is no exception. */
export type Outcome =
  | { readonly kind: 'applied' }
  /** The sink already holds this state of the key, or a newer one. */
  | { readonly kind: 'stale' }
  /** Not now: the worker offers it again after a back-off, and keeps the order of its key. */
  | { readonly kind: 'retry'; readonly error: HeadwaterError }
  /** Never as it is: the worker parks the key. */
  | { readonly kind: 'reject'; readonly error: HeadwaterError }
  /** Too early: a sink that takes events lacks the one before it of its key. The worker parks the key. */
  | { readonly kind: 'gap'; readonly error: HeadwaterError }

export const applied: Outcome = Object.freeze({ kind: 'applied' })
export const stale: Outcome = Object.freeze({ kind: 'stale' })

export function retry(error: HeadwaterError): Outcome {
  return { kind: 'retry', error }
}

export function reject(error: HeadwaterError): Outcome {
  return { kind: 'reject', error }
}

/** @param held the version of the key that the sink holds; undefined where it holds none */
export function gap({ key, version }: Change, held: Version | undefined): Outcome {
  const holds = held === undefined ? 'no event' : `version ${held}`
  const error = new HeadwaterError(
    'SINK_GAP',
    `The sink holds ${holds} of key ${JSON.stringify(key)}, and was given version ${version}: what stands between is missing there.`,
  )
  return { kind: 'gap', error }
}
