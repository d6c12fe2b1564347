import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { DeleteRequest } from '../append/change-request.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import {
  checkShared,
  checkUpcasters,
  invalidCollection,
  jsonSchemaOf,
  type Collection,
} from './collection.ts'
import type { Upcasters } from './upcast.ts'

/** The schemas of a decider's events, by event type. */
export type EventSchemas = Readonly<Record<string, StandardSchemaV1>>

/** The events that these schemas describe: `{ type: 'placed', data: … }`. */
export type EventOf<Schemas extends EventSchemas> = {
  readonly [Type in keyof Schemas & string]: {
    readonly type: Type
    readonly data: StandardSchemaV1.InferOutput<Schemas[Type]>
  }
}[keyof Schemas & string]

export interface DeciderOptions<Schemas extends EventSchemas, State, Command> {
  /** A schema for the data of each type of event. */
  readonly events: Schemas
  /** The state of a key of which nothing has happened yet, or that was deleted. */
  readonly initial: () => State
  /** What a command makes happen, given the state: no events where nothing. Throws where the command is refused. Pure. */
  readonly decide: (command: Command, state: State) => readonly EventOf<Schemas>[]
  /** The state after an event. Pure, never throws, and gives JSON: the log keeps the folded state beside itself. */
  readonly evolve: (state: State, event: EventOf<Schemas>) => State
  /** The schema of the folded state, for sinks that make columns of it. Default: whatever `evolve` gives. */
  readonly stateSchema?: StandardSchemaV1<State>
  /** As for collections. */
  readonly partitionKey?: (key: string) => string
  /** Stored with each event and folded state. Raise it when old ones do not fit any more. Default 1. */
  readonly schemaVersion?: number
  /** How events of older schema versions are read: each step is given and gives `{ type, data }`. */
  readonly upcast?: Upcasters
  /** How folded states of older schema versions are read. */
  readonly upcastState?: Upcasters
}

/** What makes a collection a decider. */
export interface Decides<State = unknown, Command = unknown, Event = unknown> {
  readonly events: EventSchemas
  /** Of events; `upcast` of the collection is that of folded states. */
  readonly upcast: Upcasters | undefined
  initial(): State
  decide(command: Command, state: State): readonly Event[]
  evolve(state: State, event: Event): State
}

/**
 * A collection whose keys change by domain events: commands are decided on the folded state, and events are what the
 * log holds. `get` gives the folded state; sinks take that, or the events.
 */
export interface Decider<State, Command, Event> extends Collection<State, never> {
  readonly decides: Decides<State, Command, Event>
  delete(key: string): DeleteRequest
}

/** A decider of whatever types. */
// oxlint-disable-next-line typescript/no-explicit-any -- commands are taken and states are given: only `any` fits
export type AnyDecider = Decider<any, any, any>

/**
 * Defines a decider: a collection of domain events with the rules that make them.
 *
 * @throws HeadwaterError COLLECTION_INVALID
 */
export function defineDecider<Schemas extends EventSchemas, State, Command>(
  name: string,
  options: DeciderOptions<Schemas, State, Command>,
): Decider<State, Command, EventOf<Schemas>> {
  checkDefinition(name, options)
  const { events, initial, decide, evolve, partitionKey, schemaVersion = 1 } = options
  const schema = options.stateSchema ?? anything<State>()
  const refuse = (what: string): never => {
    throw new HeadwaterError(
      'EVENTS_ONLY',
      `${name} is a decider: its state follows from events. Use log.decide(…) instead of ${what}.`,
    )
  }
  const decider: Decider<State, Command, EventOf<Schemas>> = {
    name,
    schema: schema as StandardSchemaV1<never, State>,
    schemaVersion,
    state: 'values',
    partitionKey,
    upcast: options.upcastState,
    decides: { events, upcast: options.upcast, initial, decide, evolve },
    keyOf: () => refuse('taking a key out of the state'),
    jsonSchema: () => jsonSchemaOf(schema),
    put: () => refuse('put'),
    patch: () => refuse('patch'),
    delete: (key) => ({ kind: 'delete', collection: decider, key }),
  }
  return Object.freeze(decider)
}

function checkDefinition<Schemas extends EventSchemas, State, Command>(
  name: string,
  options: DeciderOptions<Schemas, State, Command>,
): void {
  checkShared(name, options)
  for (const member of ['initial', 'decide', 'evolve'] as const) {
    if (typeof options[member] !== 'function') invalidCollection(name, `${member} must be a function.`)
  }
  if (typeof options.events !== 'object' || options.events === null) {
    invalidCollection(name, 'events must be an object of schemas by event type.')
  }
  for (const [type, schema] of Object.entries(options.events)) {
    if (typeof schema?.['~standard']?.validate !== 'function') {
      invalidCollection(name, `the event ${JSON.stringify(type)} needs a Standard Schema, such as zod gives.`)
    }
  }
  checkUpcasters(name, 'upcastState', options.upcastState, options.schemaVersion ?? 1)
}

function anything<T>(): StandardSchemaV1<T> {
  return {
    '~standard': { version: 1, vendor: 'headwater', validate: (value: unknown) => ({ value: value as T }) },
  }
}
