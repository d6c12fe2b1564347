import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'

/** What a sink threw, as an error with a code: unknown errors of drivers count as a target that is not there now. */
export function sinkError(sinkName: string, error: unknown): HeadwaterError {
  if (isHeadwaterError(error)) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new HeadwaterError('SINK_UNAVAILABLE', `The ${sinkName} failed: ${reason}`, { cause: error })
}
