import { HeadwaterError } from '../errors/headwater-error.ts'

/**
 * What an error of Redis or of the connection means for the command that met it.
 *
 * - `unsent`: certainly not executed, and worth another try (not connected, loading, failing over)
 * - `unknown`: may have been executed; only a command that is safe to repeat may be tried again
 * - `full`: refused for memory, worth another try when room returns
 * - `final`: waiting does not mend it (permissions, wrong type, a mistake of ours)
 */
export type RedisErrorKind = 'unsent' | 'unknown' | 'full' | 'final'

/** Refusals before execution that pass by themselves: start-up, failover, resharding, a paused or busy server. */
const passing =
  /^(?:LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOREPLICAS|MISCONF|MOVED|ASK|UNBLOCKED|NOMASTERLINK|BUSYKEY)\b/

const notConnected =
  /Stream isn't writeable|isn't ready and enableOfflineQueue|All sentinels are unreachable|None of startup nodes is available|ENOTFOUND|ECONNREFUSED|ENOENT|EAI_AGAIN/

export function redisErrorKind(error: unknown): RedisErrorKind {
  if (!(error instanceof Error)) return 'final'
  if (error.name === 'ReplyError') {
    const text = scriptErrorText(error.message)
    if (/^OOM\b/.test(text)) return 'full'
    return passing.test(text) ? 'unsent' : 'final'
  }
  if (notConnected.test(error.message)) return 'unsent'
  // Everything else comes from the connection: closed, reset, timed out. The command may have been executed.
  return 'unknown'
}

/** Redis before 7 wraps what a script met: "ERR Error running script (call to f_…): @user_script:12: -OOM command …". */
function scriptErrorText(message: string): string {
  const inner = /@user_script: ?\d+: -?([A-Z]+ .*)$/s.exec(message)
  return inner?.[1] ?? message
}

export function redisError(kind: RedisErrorKind, doing: string, error: unknown): HeadwaterError {
  const reason = error instanceof Error ? error.message : String(error)
  switch (kind) {
    case 'full':
      return new HeadwaterError('REDIS_FULL', `Redis has no memory left for ${doing}: ${reason}`, {
        cause: error,
      })
    case 'final':
      if (reason.includes('WRONGTYPE')) {
        return new HeadwaterError(
          'LOG_DAMAGED',
          `Something else stands under a key of the log, as ${doing} found: ${reason}`,
          { cause: error },
        )
      }
      return new HeadwaterError('REDIS_REFUSED', `Redis refused ${doing}: ${reason}`, { cause: error })
    default:
      return new HeadwaterError('REDIS_UNAVAILABLE', `Redis could not be used for ${doing}: ${reason}`, {
        cause: error,
      })
  }
}
