import { canonicalJson } from '../change/canonical-json.ts'
import type { Change } from '../change/change.ts'
import { formatPosition } from '../change/position.ts'
import { formatVersion } from '../change/version.ts'
import { needsUpcast } from '../collection/upcast.ts'
import { isHeadwaterError, type HeadwaterError } from '../errors/headwater-error.ts'
import type { Sink } from '../sink/sink.ts'
import type { StateReader } from '../state/state-reader.ts'
import { stateValue } from '../state/state-record.ts'

/** A change as its sink is to see it, or why it cannot be shown. */
export type Presented = { readonly change: Change } | { readonly error: HeadwaterError }

/**
 * Shows changes of the log to a sink: values in the shape of the present schema version, and to a sink that takes states
 * puts instead of events. The state of a decider is read from beside the log, so it may already be newer than the change,
 * which then brings along what it is: stamp, version and hash.
 */
export class Presentation {
  readonly #sink: Sink
  readonly #state: StateReader

  constructor(sink: Sink, state: StateReader) {
    this.#sink = sink
    this.#state = state
  }

  /** Whether the sink may see these as the log has them, which is the rule. */
  asTheyAre(changes: readonly Change[]): boolean {
    const { collection, takes = 'state' } = this.#sink
    if (takes === 'state' && collection.decides) return false
    return changes.every(
      ({ kind, schemaVersion }) =>
        (takes !== 'state' || kind !== 'event') && !needsUpcast(collection, kind, schemaVersion),
    )
  }

  async present(changes: readonly Change[]): Promise<readonly Presented[]> {
    const { collection, takes = 'state' } = this.#sink
    if (takes === 'state' && collection.decides) return await this.#states(changes)
    return changes.map((change) => {
      const asPut = takes === 'state' && change.kind === 'event'
      return asPut || needsUpcast(collection, change.kind, change.schemaVersion)
        ? valueOf(change, asPut)
        : { change }
    })
  }

  async #states(changes: readonly Change[]): Promise<Presented[]> {
    const { collection } = this.#sink
    const records = await this.#state.records(
      collection,
      changes.map(({ key }) => key),
    )
    return changes.map((change, index) => {
      const record = records[index]
      if (change.kind === 'delete' || !record) return { change }
      const { stamp, schemaVersion, deleted, hash } = record
      return shown(() => {
        const value = deleted ? undefined : stateValue(collection, change.key, record)
        return new PresentedChange(change, {
          kind: deleted ? 'delete' : 'put',
          stamp,
          version: record.version,
          schemaVersion,
          hash,
          value,
        })
      })
    })
  }
}

function valueOf(change: Change, asPut: boolean): Presented {
  return shown(() => new PresentedChange(change, { kind: asPut ? 'put' : change.kind, value: change.value }))
}

function shown(make: () => Change): Presented {
  try {
    return { change: make() }
  } catch (error) {
    if (isHeadwaterError(error)) return { error }
    throw error
  }
}

interface Shown {
  readonly kind: Change['kind']
  readonly value: unknown
  readonly stamp?: Change['stamp']
  readonly version?: number
  readonly schemaVersion?: number
  readonly hash?: bigint
}

/** A change of the log under another kind or value; everything else is the original's. */
class PresentedChange implements Change {
  readonly kind: Change['kind']
  readonly value: unknown
  readonly payload: string
  readonly stamp: Change['stamp']
  readonly schemaVersion: number
  readonly #of: Change
  readonly #version: number | undefined
  readonly #hash: bigint | undefined

  constructor(of: Change, { kind, value, stamp, version, schemaVersion, hash }: Shown) {
    this.#of = of
    this.kind = kind
    this.value = value
    this.payload = kind === 'delete' ? '' : canonicalJson(value)
    this.stamp = stamp ?? of.stamp
    this.schemaVersion = schemaVersion ?? of.schemaVersion
    this.#version = version
    this.#hash = hash
  }

  get collection(): string {
    return this.#of.collection
  }

  get key(): string {
    return this.#of.key
  }

  get partition(): number {
    return this.#of.partition
  }

  get bucket(): number {
    return this.#of.bucket
  }

  get position(): Change['position'] {
    return formatPosition(this.partition, this.stamp)
  }

  get version(): Change['version'] {
    return this.#version === undefined ? this.#of.version : formatVersion(this.#version, this.stamp.epoch)
  }

  get time(): number {
    return this.#of.time
  }

  get hash(): bigint {
    return this.#hash ?? this.#of.hash
  }

  get metadata(): Change['metadata'] {
    return this.#of.metadata
  }

  get trace(): string | undefined {
    return this.#of.trace
  }
}
