import type { Change } from '../../packages/core/src/change/change.ts'
import { formatCheckpoint, parseCheckpoint } from '../../packages/core/src/group/checkpoint.ts'
import { parkedField, parseParkedKey } from '../../packages/core/src/parking/parked-key.ts'
import type { MemoryTarget } from '../../packages/core/src/sink/memory-sink.ts'
import type { Outcome } from '../../packages/core/src/sink/outcome.ts'
import type { WorkerEvent } from '../../packages/core/src/worker/worker-event.ts'
import type { RedisStore } from './redis-store.ts'

/** A change as it was appended. */
export interface Appended {
  readonly partition: number
  readonly sequence: number
  readonly key: string
  readonly content: number
}

interface AuditedKeys {
  readonly group: string
  readonly parkedKeys: string
}

export interface AuditOptions {
  readonly target: MemoryTarget
  readonly group: string
  readonly collection: string
  readonly keys: readonly AuditedKeys[]
  /** Whether every change counts for itself, and none may be left out. */
  readonly everyChange: boolean
  /** What is known of Redis. */
  readonly store: () => RedisStore
}

/** What one owner does with one partition of the sink. */
export interface Session {
  /** It sends changes. */
  offered(changes: readonly Change[]): void
  /** Nothing of this call is at the sink any more, as far as the owner knows. */
  answered(changes: readonly Change[]): void
  /** The target has answered, at this moment. */
  took(changes: readonly Change[], outcomes: readonly Outcome[]): void
  /** The target has stored a position. */
  stands(): void
}

/** Watches everything that workers do, and knows by its own books what they must not do. Shares no code with what it watches. */
export class Audit {
  /** What was broken, in words. */
  readonly breaches: string[] = []
  readonly #options: AuditOptions
  /** By partition, in the order of the log. */
  readonly log: Appended[][]
  /** By partition: sequences that the target has applied. */
  readonly #applied: Set<number>[]
  /** By partition: the greatest token that had an effect, at the target and in Redis. */
  readonly #tokens: { target: number; redis: number }[]
  /** By partition: how far the checkpoint is, and the token of who moved it there. */
  readonly #checkpoints: { sequence: number; token: string }[]

  constructor(options: AuditOptions) {
    this.#options = options
    this.log = options.keys.map(() => [])
    this.#applied = options.keys.map(() => new Set())
    this.#tokens = options.keys.map(() => ({ target: 0, redis: 0 }))
    this.#checkpoints = options.keys.map(() => ({ sequence: 0, token: '' }))
  }

  session(partition: number, token: number): Session {
    const atSink = new Set<string>()
    return {
      offered: (changes) => {
        for (const { key } of changes) {
          if (atSink.has(key)) this.#breach(partition, `two changes of ${key} were at the sink at once`)
          atSink.add(key)
        }
      },
      answered: (changes) => {
        for (const { key } of changes) atSink.delete(key)
      },
      took: (changes, outcomes) => {
        for (const [at, change] of changes.entries()) {
          if (outcomes[at]!.kind === 'applied') this.#appliedOne(partition, token, change)
        }
        this.#positionStands(partition)
      },
      stands: () => this.#positionStands(partition),
    }
  }

  #appliedOne(partition: number, token: number, { key, stamp }: Change): void {
    const tokens = this.#tokens[partition]!
    if (token < tokens.target) {
      this.#breach(partition, `token ${token} had an effect at the sink after token ${tokens.target}`)
    }
    tokens.target = Math.max(tokens.target, token)
    const applied = this.#applied[partition]!
    if (this.#options.everyChange) {
      const skipped = this.log[partition]!.find(
        (one) => one.key === key && one.sequence < stamp.sequence && !applied.has(one.sequence),
      )
      if (skipped) {
        const what = `change ${stamp.sequence} of ${key} was applied before change ${skipped.sequence}`
        this.#breach(partition, what)
      }
    }
    const marker = this.#markerOf(partition, key)
    if (marker && stamp.sequence > marker.last.sequence) {
      this.#breach(partition, `change ${stamp.sequence} of ${key} has overtaken what is parked of its key`)
    }
    applied.add(stamp.sequence)
  }

  /** A worker tells something. */
  told(event: WorkerEvent): void {
    if (event.kind !== 'history-lost') return
    const { partition, epoch, from, to } = event
    this.#breach(partition, `${from} to ${to} of epoch ${epoch} count as lost, and nothing was`)
  }

  /** A script has run, with this answer. */
  script(name: string, keys: readonly string[], args: readonly string[], reply: unknown): void {
    const partition = this.#options.keys.findIndex(({ group }) => keys.includes(group))
    if (partition < 0) return
    if (name === 'commit' && reply === 'committed') this.#committed(partition, args)
    const fenced = ['commit', 'hand', 'park', 'feed-back', 'refuse-redrive', 'note-offer']
    const isEffect = reply !== 'fenced' && !(Array.isArray(reply) && reply[0] === 'fenced')
    if (!fenced.includes(name) || !isEffect) return
    const token = Number(name === 'commit' ? args[2] : args[1])
    const tokens = this.#tokens[partition]!
    const held = Number(this.#options.store().hash(keys[0]!).get('token'))
    if (token < Math.max(held, tokens.redis)) {
      this.#breach(partition, `token ${token} had an effect in Redis, where ${held} is the present one`)
    }
    tokens.redis = Math.max(tokens.redis, token)
  }

  #committed(partition: number, args: readonly string[]): void {
    const [, , token = '', , checkpointText, savedText] = args
    const before = this.#checkpoints[partition]!
    const checkpoint = parseCheckpoint(checkpointText).sequence
    const { group } = this.#options.keys[partition]!
    const stored = parseCheckpoint(this.#options.store().hash(group).get('checkpoint')).sequence
    if (token === before.token && stored < before.sequence)
      this.#breach(partition, `the checkpoint went back from ${before.sequence} to ${stored}`)
    for (const { sequence, key } of this.log[partition]!.slice(before.sequence, checkpoint)) {
      if (this.#isSettled(partition, key, sequence)) continue
      this.#breach(partition, `the checkpoint ${checkpoint} passed change ${sequence} of ${key}`)
    }
    if (checkpoint > this.log[partition]!.length)
      this.#breach(partition, `the checkpoint ${checkpoint} is ahead of the log`)
    this.#checkpoints[partition] = { sequence: Math.max(before.sequence, stored), token }
    const { position } = this.#ledger(partition) ?? {}
    const saved = parseCheckpoint(savedText).sequence
    if (saved > (position?.sequence ?? 0)) {
      const held = position ? formatCheckpoint(position) : 'nothing'
      this.#breach(partition, `it says that the sink has stored ${savedText}, which has stored ${held}`)
    }
  }

  #positionStands(partition: number): void {
    const { position } = this.#ledger(partition) ?? {}
    for (const { sequence, key } of this.log[partition]!.slice(0, position?.sequence ?? 0)) {
      if (this.#isSettled(partition, key, sequence)) continue
      this.#breach(
        partition,
        `the position ${position!.sequence} of the sink passed change ${sequence} of ${key}`,
      )
    }
  }

  /** Whether a change is at the sink, superseded there, or set aside. */
  #isSettled(partition: number, key: string, sequence: number): boolean {
    const { target, everyChange } = this.#options
    const isThere = everyChange
      ? this.#applied[partition]!.has(sequence)
      : (target.rows.get(key)?.stamp.sequence ?? 0) >= sequence
    return isThere || this.isParked(partition, key, sequence)
  }

  isParked(partition: number, key: string, sequence: number): boolean {
    const marker = this.#markerOf(partition, key)
    return marker !== undefined && marker.first.sequence <= sequence && sequence <= marker.last.sequence
  }

  #markerOf(partition: number, key: string): ReturnType<typeof parseParkedKey> | undefined {
    const { collection, keys, store } = this.#options
    const stored = store().hash(keys[partition]!.parkedKeys).get(parkedField(collection, key))
    return stored === undefined ? undefined : parseParkedKey(stored)
  }

  #ledger(partition: number) {
    return this.#options.target.ledgers.get(JSON.stringify([this.#options.group, partition]))
  }

  /** At the end, when nothing is wrong any more: everything that was appended is at the sink, and committed. */
  finished(): void {
    const { target, everyChange } = this.#options
    for (const [partition, log] of this.log.entries()) {
      for (const { key, sequence } of log) {
        if (everyChange && !this.#applied[partition]!.has(sequence))
          this.#breach(partition, `change ${sequence} of ${key} was never applied`)
      }
      const newest = new Map(log.map((change) => [change.key, change]))
      for (const { key, sequence, content } of newest.values()) {
        const row = target.rows.get(key)
        const holds = (row?.value as { content: number } | undefined)?.content
        if (row?.stamp.sequence !== sequence || holds !== content)
          this.#breach(partition, `the sink has change ${row?.stamp.sequence} of ${key}, not ${sequence}`)
      }
    }
  }

  #breach(partition: number, what: string): void {
    this.breaches.push(`partition ${partition}: ${what}`)
  }
}
