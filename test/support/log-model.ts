import { canonicalJson } from '@headwater/core'

/** One change of a request, as the model needs it. */
interface ModelRequestChange {
  readonly collection: string
  readonly schemaVersion: number
  readonly key: string
  /** Undefined deletes the key. */
  readonly value: unknown
  /** `any`, `absent`, `exists`, or a version as users see it. */
  readonly expected: string
}

/** Changes that enter together or not at all. */
export interface ModelRequest {
  readonly changes: readonly ModelRequestChange[]
  readonly idempotencyKey: string | undefined
  readonly metadata: Readonly<Record<string, string>>
}

/** What an append has to answer. */
export type ModelAnswer =
  | {
      readonly kind: 'stored' | 'duplicate'
      readonly results: readonly { version: string; position: string }[]
    }
  | {
      readonly kind: 'conflict'
      readonly key: string
      readonly expected: string
      readonly actual: string | undefined
    }
  /** The idempotency key belongs to an append of another shape. */
  | { readonly kind: 'key reused' }

/** A change as the log must hold it. */
export interface ModelChange {
  readonly collection: string
  readonly schemaVersion: number
  readonly key: string
  readonly kind: 'put' | 'delete'
  readonly epoch: number
  readonly sequence: number
  readonly version: number
  readonly payload: string
  readonly metadata: Readonly<Record<string, string>>
}

/** What the log promises of one partition, in plain TypeScript: what it answers, stores and keeps. */
export class LogModel {
  readonly #partition: number
  #changes: ModelChange[] = []
  /** By collection and key: the newest change. */
  #latest = new Map<string, ModelChange>()
  #results = new Map<string, ModelAnswer & { kind: 'stored' }>()
  #epoch = 1
  /** The server is another one than the history was written on: the next change opens an epoch. */
  #moved = false

  constructor(partition: number) {
    this.#partition = partition
  }

  get changes(): readonly ModelChange[] {
    return this.#changes
  }

  /** The newest change of each key of a collection. */
  latestOf(collection: string): Map<string, ModelChange> {
    const of = [...this.#latest.values()].filter((change) => change.collection === collection)
    return new Map(of.map((change) => [change.key, change]))
  }

  /** The version that a key has, as users see it; undefined while it is absent. */
  versionOf(collection: string, key: string): string | undefined {
    const latest = this.#latest.get(idOf(collection, key))
    return latest?.kind === 'put' ? versionText(latest) : undefined
  }

  /** `epochNow` is what the log's header says after the append: how far an epoch rises is the clock's affair, not the model's. */
  append({ changes, idempotencyKey, metadata }: ModelRequest, epochNow: number): ModelAnswer {
    const [first] = changes as readonly [ModelRequestChange]
    const remembered =
      idempotencyKey === undefined ? undefined : JSON.stringify([first.collection, first.key, idempotencyKey])
    const earlier = remembered === undefined ? undefined : this.#results.get(remembered)
    if (earlier) {
      if (earlier.results.length !== changes.length) return { kind: 'key reused' }
      return { kind: 'duplicate', results: earlier.results }
    }

    const epoch = this.#moved ? Math.max(this.#epoch + 1, epochNow) : this.#epoch
    const entering = new Map<string, ModelChange>()
    const stored: ModelChange[] = []
    for (const { collection, schemaVersion, key, value, expected } of changes) {
      const id = idOf(collection, key)
      const latest = entering.get(id) ?? this.#latest.get(id)
      const live = latest?.kind === 'put'
      const fits =
        expected === 'any' ||
        (expected === 'absent' && !live) ||
        (expected === 'exists' && live) ||
        (latest !== undefined && expected === versionText(latest))
      if (!fits) {
        return { kind: 'conflict', key, expected, actual: live ? versionText(latest) : undefined }
      }
      const change: ModelChange = {
        collection,
        schemaVersion,
        key,
        kind: value === undefined ? 'delete' : 'put',
        epoch,
        sequence: this.#changes.length + stored.length + 1,
        version: (latest?.version ?? 0) + 1,
        payload: value === undefined ? '' : canonicalJson(value),
        metadata,
      }
      entering.set(id, change)
      stored.push(change)
    }
    this.#epoch = epoch
    this.#moved = false
    this.#changes.push(...stored)
    for (const [id, change] of entering) this.#latest.set(id, change)
    const answer = {
      kind: 'stored' as const,
      results: stored.map((change) => ({
        version: versionText(change),
        position: `${this.#partition}:${change.epoch}-${change.sequence}`,
      })),
    }
    if (remembered !== undefined) this.#results.set(remembered, answer)
    return answer
  }

  /** The server was started again, or replaced, with everything that this model knows. */
  move(): void {
    this.#moved = true
  }

  copy(): LogModel {
    const copy = new LogModel(this.#partition)
    copy.#changes = [...this.#changes]
    copy.#latest = new Map(this.#latest)
    copy.#results = new Map(this.#results)
    copy.#epoch = this.#epoch
    copy.#moved = this.#moved
    return copy
  }
}

/** A version as users see it. */
export function versionText({ version, epoch }: Pick<ModelChange, 'version' | 'epoch'>): string {
  return epoch === 1 ? `${version}` : `${version}@${epoch}`
}

function idOf(collection: string, key: string): string {
  return JSON.stringify([collection, key])
}
