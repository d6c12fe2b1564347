import { checkStart, type GroupStart } from '../copy/group-start.ts'
import { checkInteger } from '../errors/check-integer.ts'
import { checkNames } from '../errors/check-names.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { checkGroupName } from '../group/group-name.ts'
import { logParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import type { ParkingBounds } from '../parking/park.ts'
import { guardSink } from '../sink/guarded-sink.ts'
import type { AnySink, Sink } from '../sink/sink.ts'
import { noteGroupOfSink } from './sink-groups.ts'

/** A sink, and how its group works; a sink alone means the defaults. */
export interface GroupOptions {
  readonly sink: AnySink
  /** Whether changes of a key that wait together are applied as their newest. Default true. */
  readonly coalesce?: boolean
  /** How many calls of one partition may be at the sink at once. Default and upper bound: what the sink declares. */
  readonly concurrency?: number
  /** How long one call of the sink may take, in ms. Default 30,000. */
  readonly applyTimeoutMs?: number
  /**
   * How much each partition may have parked before it stands still: keys, and changes of one key. Default 1,000 each: so
   * many bad keys are no bad keys, but a sink that is wrong.
   */
  readonly parking?: { readonly keys?: number; readonly changesOfKey?: number }
  /**
   * So often a key may fail while the sink takes others, before it is parked. Default 20: with the default delays some five
   * minutes. A sink that takes nothing uses up no attempts.
   */
  readonly attemptsMax?: number
  /**
   * So many workers in a row may die while they apply changes, before the one change that the last of them had in hand is parked.
   * From 2, default 3.
   */
  readonly deathsMax?: number
  /** Where a group begins that is new to the log; one that is known goes on where it stands. Default `beginning`. */
  readonly start?: GroupStart
  /** At most so many keys a second are copied for `start: 'state'`, in this worker. Default: no limit. */
  readonly copyKeysPerSecond?: number
}

/** How a group works: what its options say, checked, and the defaults. */
export interface GroupSettings {
  readonly group: string
  /** Guarded. */
  readonly sink: Sink
  readonly coalesce: boolean
  readonly concurrency: number
  readonly parking: ParkingBounds
  readonly attemptsMax: number
  readonly deathsMax: number
  readonly start: GroupStart
  readonly copyKeysPerSecond: number
}

const dayMs = 86_400_000

const optionNames: Record<keyof GroupOptions, true> = {
  sink: true,
  coalesce: true,
  concurrency: true,
  applyTimeoutMs: true,
  parking: true,
  attemptsMax: true,
  deathsMax: true,
  start: true,
  copyKeysPerSecond: true,
}

/** @throws HeadwaterError OPTION_INVALID, COLLECTION_UNKNOWN, SINK_CONTRACT, STATE_REQUIRED */
export function groupSettings(log: Log, group: string, given: AnySink | GroupOptions): GroupSettings {
  checkGroupName(group)
  if (given && 'sink' in given) checkNames(`Group ${group}`, given, optionNames)
  const {
    sink,
    coalesce = true,
    concurrency,
    applyTimeoutMs,
    parking: { keys = 1_000, changesOfKey = 1_000 } = {},
    attemptsMax = 20,
    deathsMax = 3,
    start = 'beginning',
    copyKeysPerSecond = Number.POSITIVE_INFINITY,
  }: GroupOptions = given && 'sink' in given ? given : { sink: given }
  if (typeof sink?.open !== 'function') {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `Group ${JSON.stringify(group)} needs a sink, such as postgresSink(…) gives.`,
    )
  }
  const known = logParts(log).collections.get(sink.collection.name)
  if (known !== sink.collection) {
    throw new HeadwaterError(
      'COLLECTION_UNKNOWN',
      `The sink of group ${group} takes ${sink.collection.name}, which was not given to connect().`,
    )
  }
  if (concurrency !== undefined)
    checkInteger(`concurrency of group ${group}`, concurrency, 1, sink.capabilities.concurrency)
  checkInteger(`parking.keys of group ${group}`, keys, 1, 1_000_000)
  checkInteger(`parking.changesOfKey of group ${group}`, changesOfKey, 1, 1_000_000)
  if (applyTimeoutMs !== undefined) checkInteger(`applyTimeoutMs of group ${group}`, applyTimeoutMs, 1, dayMs)
  checkInteger(`attemptsMax of group ${group}`, attemptsMax, 1, 1_000_000)
  checkInteger(`deathsMax of group ${group}`, deathsMax, 2, 1_000)
  checkStart(group, sink, start)
  if (!(copyKeysPerSecond > 0)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `copyKeysPerSecond ${String(copyKeysPerSecond)} of group ${group} must be above 0.`,
    )
  }
  noteGroupOfSink(sink, group)
  return {
    start,
    copyKeysPerSecond,
    group,
    sink: guardSink(sink, applyTimeoutMs === undefined ? {} : { applyTimeoutMs }),
    // Events count each for itself, also to a sink that keeps the latest of each key.
    coalesce: coalesce && sink.takes !== 'events' && sink.collection.state !== 'none',
    concurrency: concurrency ?? sink.capabilities.concurrency,
    parking: { keys, changesOfKey },
    attemptsMax,
    deathsMax,
  }
}
