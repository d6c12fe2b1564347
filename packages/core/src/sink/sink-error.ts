import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'

/** What a sink threw, as an error with a code: unknown errors of drivers count as a target that is not there now. */
export function sinkError(sinkName: string, error: unknown): HeadwaterError {
  if (isHeadwaterError(error)) return error
  return new HeadwaterError('SINK_UNAVAILABLE', `The ${sinkName} failed: ${reasonOf(error)}`, {
    cause: error,
  })
}

const reasonMax = 1_000

/** Drivers throw whatever they like, also what cannot be made a text. */
function reasonOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error).slice(0, reasonMax)
  } catch {
    return 'what it threw cannot be told'
  }
}
