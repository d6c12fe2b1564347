import type { Change } from './change.ts'

/**
 * The payload, for sinks that store it as it is; empty for a delete. It is decoded once, because somebody else may have
 * put it into the log: what is no JSON is for the worker to park, and not for the readers of a copy to find.
 *
 * @throws HeadwaterError CHANGE_UNREADABLE when it is no JSON, UPCAST_FAILED
 */
export function readablePayload(change: Change): string {
  return change.value === undefined ? '' : change.payload
}
