import { HeadwaterError } from '@headwater/core'

/**
 * Refusals that waiting does not mend: permissions (which scripts of some versions report without a code), and
 * bookkeeping keys that are no bookkeeping of ours.
 */
const lasting =
  /^(?:NOPERM|NOAUTH|WRONGPASS|WRONGTYPE|CROSSSLOT)\b|\bThe user executing the script can't|ACL failure in script/

/**
 * What a failed script means: the target is misconfigured, or cannot take anything right now. Nothing that concerns a
 * single change comes this way: `apply.lua` looks at the data keys before it writes.
 */
export function redisFailure(sinkName: string, error: unknown): HeadwaterError {
  const code = lasting.test(replyText(error)) ? 'SINK_MISCONFIGURED' : 'SINK_UNAVAILABLE'
  const reason = error instanceof Error ? error.message : String(error)
  return new HeadwaterError(code, `The ${sinkName} failed: ${reason}`, { cause: error })
}

/** Whether it was refused because the server has reached `maxmemory`. */
export function isOutOfMemory(error: unknown): boolean {
  return replyText(error).startsWith('OOM ')
}

/** Redis before 7 wraps what a script met: "ERR Error running script (call to f_…): @user_script:12: -OOM …". */
function replyText(error: unknown): string {
  const message = error instanceof Error ? error.message : ''
  return /@user_script: ?\d+: -?([A-Z]+ .*)$/s.exec(message)?.[1] ?? message
}
