import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import type { AnySink } from '../sink/sink.ts'

/**
 * Where a group begins that is new to the log:
 *
 * - `beginning`: with the first change of the log, which retention must not have removed
 * - `state`: with a copy of what every key is now, joined without a gap to the changes that come meanwhile
 * - `now`: with the next change; what was before never reaches the sink
 */
export type GroupStart = 'beginning' | 'state' | 'now'

/** @throws HeadwaterError OPTION_INVALID, STATE_REQUIRED where the sink cannot begin so */
export function checkStart(group: string, sink: AnySink, start: GroupStart): void {
  if (!['beginning', 'state', 'now'].includes(start)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `start ${quoted(start)} of group ${group} must be "beginning", "state" or "now".`,
    )
  }
  if (start !== 'state') return
  const { name, takes, collection } = sink
  if (takes === 'events') {
    throw new HeadwaterError(
      'STATE_REQUIRED',
      `Group ${group} cannot start from the state: the ${name} takes every event, and the state holds none. Let it start at the beginning or now.`,
    )
  }
  if (collection.state === 'values') return
  throw new HeadwaterError(
    'STATE_REQUIRED',
    `Group ${group} cannot start from the state: ${collection.name} is defined with state "${collection.state}", so the log keeps no values to copy. Let it start at the beginning or now.`,
  )
}
