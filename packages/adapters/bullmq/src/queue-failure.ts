import { HeadwaterError } from '@headwater/core'

/** Refusals that waiting does not mend: permissions, and keys that are no bookkeeping of ours. */
const lasting = /^(?:NOPERM|NOAUTH|WRONGPASS|WRONGTYPE|CROSSSLOT)\b|ACL failure in script/

/** What a failed command means: the target is misconfigured, or cannot take anything right now. */
export function queueFailure(sinkName: string, error: unknown): HeadwaterError {
  const reason = error instanceof Error ? error.message : String(error)
  const code = lasting.test(reason) ? 'SINK_MISCONFIGURED' : 'SINK_UNAVAILABLE'
  return new HeadwaterError(code, `The ${sinkName} failed: ${reason}`, { cause: error })
}
