import type { Position } from '../change/position.ts'
import { formatVersion, type Version } from '../change/version.ts'
import type { AnyDecider, Decider } from '../collection/decider.ts'
import { canonicalJson } from '../change/canonical-json.ts'
import { checkNames } from '../errors/check-names.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { backoffMs, type Backoff } from '../redis/backoff.ts'
import { pause } from '../redis/persist.ts'
import type { AppendOptions, Appender } from './appender.ts'
import type { AppendResult } from './append-result.ts'
import type { EventRequest } from './change-request.ts'
import { VersionConflictError } from './version-conflict-error.ts'
import { stateValue } from '../state/state-record.ts'

export interface DecideOptions extends Omit<AppendOptions, 'expected'> {
  /**
   * How often the command is decided again, on the newer state, when somebody else changed the key meanwhile. Default:
   * until the deadline of the log. 0 rejects with the conflict.
   */
  readonly retryOnConflict?: number
}

const optionNames: Record<keyof DecideOptions, true> = {
  retryOnConflict: true,
  idempotencyKey: true,
  metadata: true,
  durability: true,
}

/** What came of a command. */
export interface Decision<State, Event> {
  readonly key: string
  /** What happened; empty where the command made nothing happen. */
  readonly events: readonly Event[]
  /** The state after the events; of a duplicate the latest state. */
  readonly state: State
  /** Of the key; undefined where nothing ever happened. */
  readonly version: Version | undefined
  /** Of the last event, for `whenApplied`; undefined where nothing happened. */
  readonly position: Position | undefined
  /** Whether this is the result of an earlier command with the same idempotency key: nothing was decided again. */
  readonly duplicate: boolean
}

/** What deciding needs of a log. */
export interface DecidePort {
  readonly appender: Appender
  readonly deadlineMs: number
  /** The changes at these positions of one partition; those that retention removed are left out. */
  readonly eventsAt: (first: Position, count: number) => Promise<readonly unknown[]>
}

/** What the log keeps of a key, as a decider sees it. */
interface Known {
  readonly state: unknown
  readonly version: Version | undefined
  readonly live: boolean
}

const betweenDecisions: Backoff = { firstMs: 2, maxMs: 100 }

/** Reads the state, decides, and appends the events on exactly what was read; all of it again after a conflict. */
export async function decide<State, Command, Event>(
  port: DecidePort,
  decider: Decider<State, Command, Event>,
  key: string,
  command: Command,
  { retryOnConflict = Number.POSITIVE_INFINITY, ...options }: DecideOptions,
): Promise<Decision<State, Event>> {
  if (!decider?.decides) {
    throw new HeadwaterError('OPTION_INVALID', 'decide takes a decider, as defineDecider(…) gives.')
  }
  checkNames('decide', options, optionNames)
  const endsAt = performance.now() + port.deadlineMs
  for (let attempt = 1; ; attempt++) {
    const known = await readKnown(port, decider, key)
    if (options.idempotencyKey !== undefined) {
      const results = await port.appender.remembered(decider, key, options.idempotencyKey)
      if (results) return (await repeated(port, decider, results)) as Decision<State, Event>
    }
    try {
      return (await once(port, decider, key, command, known, options)) as Decision<State, Event>
    } catch (error) {
      if (!(error instanceof VersionConflictError) || attempt > retryOnConflict) throw error
      const waitMs = backoffMs(betweenDecisions, attempt)
      if (performance.now() + waitMs >= endsAt) throw error
      await pause(waitMs)
    }
  }
}

async function once(
  port: DecidePort,
  decider: AnyDecider,
  key: string,
  command: unknown,
  known: Known,
  options: Omit<AppendOptions, 'expected'>,
): Promise<Decision<unknown, unknown>> {
  const decided: unknown = decider.decides.decide(command, known.state)
  if (!Array.isArray(decided)) {
    throw new HeadwaterError(
      'EVENT_INVALID',
      `decide of ${decider.name} must give a list of events; it gave ${typeof decided}.`,
    )
  }
  const events = await Promise.all(decided.map((event: unknown) => validEvent(decider, event)))
  if (events.length === 0) {
    const { state, version } = known
    return { key, events, state, version, position: undefined, duplicate: false }
  }
  const folded = canonicalJson(
    events.reduce((state: unknown, event) => decider.decides.evolve(state, event), known.state),
  )
  const requests = events.map((event, index): EventRequest => {
    const last = index === events.length - 1
    return { kind: 'event', collection: decider, key, event, ...(last && { folded }) }
  })
  const expected = events.map((_, index) => (index > 0 ? 'any' : known.live ? known.version! : 'absent'))
  const results = await port.appender.appendEvents(requests, { ...options, expected })
  // The same command by another process, at the same time: the other was first.
  if (results[0]!.duplicate) return await repeated(port, decider, results)
  const { version, position } = results.at(-1)!
  return { key, events, state: JSON.parse(folded) as unknown, version, position, duplicate: false }
}

async function readKnown({ appender }: DecidePort, decider: AnyDecider, key: string): Promise<Known> {
  const [record] = await appender.records(decider, [key])
  if (!record) return { state: decider.decides.initial(), version: undefined, live: false }
  const version = formatVersion(record.version, record.stamp.epoch)
  if (record.deleted) return { state: decider.decides.initial(), version, live: false }
  return { state: stateValue(decider, key, record), version, live: true }
}

/** The command was carried out before: what came of it then. */
async function repeated(
  port: DecidePort,
  decider: AnyDecider,
  results: readonly AppendResult[],
): Promise<Decision<unknown, unknown>> {
  const [first, last] = [results[0]!, results.at(-1)!]
  const events = await port.eventsAt(first.position, results.length)
  const { state } = await readKnown(port, decider, first.key)
  return { key: first.key, events, state, version: last.version, position: last.position, duplicate: true }
}

/** @throws HeadwaterError EVENT_INVALID */
async function validEvent(
  { name, decides }: AnyDecider,
  event: unknown,
): Promise<{ readonly type: string; readonly data: unknown }> {
  const { type, data } = (event ?? {}) as { readonly type?: unknown; readonly data?: unknown }
  const schema =
    typeof type === 'string' && Object.hasOwn(decides.events, type) ? decides.events[type] : undefined
  if (typeof type !== 'string' || !schema) {
    const known = Object.keys(decides.events).join(', ')
    throw new HeadwaterError(
      'EVENT_INVALID',
      `${name} has no event of type ${JSON.stringify(type) ?? String(type)}; it has ${known}.`,
    )
  }
  const result = await schema['~standard'].validate(data)
  if (!result.issues) return { type, data: result.value }
  const issues = result.issues.slice(0, 5).map(({ message }) => message)
  throw new HeadwaterError(
    'EVENT_INVALID',
    `An event ${type} of ${name} does not match its schema: ${issues.join('; ')}.`,
  )
}
