import type { Change } from '../change/change.ts'
import { formatPosition } from '../change/position.ts'
import { compareStamps, type Stamp } from '../change/stamp.ts'
import { formatVersion } from '../change/version.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { isHeadwaterError, type HeadwaterError } from '../errors/headwater-error.ts'
import { backoffMs, type Backoff } from '../redis/backoff.ts'
import { pause } from '../redis/persist.ts'
import type { Outcome } from '../sink/outcome.ts'
import type { LatestChanges } from '../state/latest-changes.ts'
import type { StateHeads } from '../state/state-heads.ts'
import type { StateReader } from '../state/state-reader.ts'
import type { CopyProgress } from './copy-progress.ts'
import type { Pace } from './pace.ts'

/** Where a group's copies come from, and how fast they may. */
export interface CopySources {
  readonly heads: StateHeads
  readonly latest: LatestChanges
  readonly state: StateReader
  readonly buckets: number
  readonly pace: Pace
}

export interface FirstCopyOptions extends CopySources {
  readonly collection: AnyCollection
  readonly partition: number
  readonly retry: Backoff
  readonly signal: AbortSignal
  readonly port: FirstCopyPort
}

/** What the copy needs of the partition that it runs in. */
interface FirstCopyPort {
  /** Waits where nothing new may be started; false when the partition is given up. */
  mayGoOn(): Promise<boolean>
  /** Which server answers for the partition. */
  server(): Promise<string>
  apply(changes: readonly Change[]): Promise<readonly Outcome[]>
  isParked(key: string): boolean
  park(change: Change, error: HeadwaterError): Promise<void>
  note(progress: CopyProgress): Promise<void>
}

/** How often the progress inside of a bucket is noted, in ms. */
const noteEveryMs = 1_000

/**
 * Brings what every key of a partition is now to a sink, a bucket of the state after the other, deleted keys included: a
 * target that is not empty may hold them. The log goes on meanwhile. Its position was noted before, and it is read from there
 * afterwards, so nothing is missed; what comes twice is stale, for the sink goes by the stamps.
 */
export class FirstCopy {
  readonly #options: FirstCopyOptions
  #progress: CopyProgress
  #notedAt = performance.now()

  constructor(options: FirstCopyOptions, progress: CopyProgress) {
    this.#options = options
    this.#progress = progress
  }

  get progress(): CopyProgress {
    return this.#progress
  }

  /** Whether it came to its end; false when the partition is given up before. */
  async run(): Promise<boolean> {
    const { buckets } = this.#options
    if (this.#progress.start === 'now') return true
    if (this.#progress.total === 0) this.#progress = { ...this.#progress, total: await this.#count() }
    for (let bucket = this.#progress.bucket; bucket < buckets; bucket++) {
      if (!(await this.#copyBucket(bucket))) return false
      this.#progress = { ...this.#progress, bucket: bucket + 1 }
      await this.#note()
    }
    return true
  }

  /** The cursor of a scan means something only to the server that gave it, so behind a failover the bucket begins anew. */
  async #copyBucket(bucket: number): Promise<boolean> {
    const { port } = this.#options
    const before = this.#progress
    for (;;) {
      const server = await port.server()
      if (!(await this.#copyPages(bucket))) return false
      if ((await port.server()) === server) return true
      this.#progress = { ...before, newest: this.#progress.newest }
    }
  }

  async #copyPages(bucket: number): Promise<boolean> {
    const { collection, partition, heads, latest, pace, port, signal } = this.#options
    for await (const page of heads.list(collection, partition, bucket)) {
      // What is parked waits for its redrive, and newer changes of it queue up behind.
      const keys = [...page.keys()].filter((key) => !port.isParked(key))
      await pace.take(keys.length, signal)
      for (const changes of await this.#read(latest, keys)) {
        if (!(await this.#deliver(changes))) return false
      }
      const newest = [...page.values()].reduce((most, { stamp }) => newer(most, stamp), this.#progress.newest)
      this.#progress = { ...this.#progress, copied: this.#progress.copied + page.size, newest }
      if (performance.now() - this.#notedAt >= noteEveryMs) await this.#note()
    }
    return await port.mayGoOn()
  }

  /** A value that cannot be read in the present shape holds up no other: its key is parked. */
  async #read(latest: LatestChanges, keys: readonly string[]): Promise<Change[][]> {
    const { collection } = this.#options
    try {
      const changes = await latest.read(collection, keys)
      return [changes.filter((change) => change !== undefined)]
    } catch (error) {
      if (!isHeadwaterError(error, 'UPCAST_FAILED')) throw error
      if (keys.length === 1) {
        await this.#parkUnreadable(keys[0]!, error)
        return []
      }
      const middle = Math.ceil(keys.length / 2)
      return [
        ...(await this.#read(latest, keys.slice(0, middle))),
        ...(await this.#read(latest, keys.slice(middle))),
      ]
    }
  }

  /** Until the sink has each of them, or rejects it. */
  async #deliver(changes: readonly Change[]): Promise<boolean> {
    const { port, retry, signal } = this.#options
    let left = changes
    for (let attempt = 1; left.length > 0; attempt++) {
      if (!(await port.mayGoOn())) return false
      const outcomes = await port.apply(left)
      const again: Change[] = []
      for (const [index, outcome] of outcomes.entries()) {
        const change = left[index]!
        if (outcome.kind === 'retry') again.push(change)
        else if (outcome.kind === 'reject') await this.#park(change, outcome.error)
      }
      left = again
      if (left.length > 0) await pause(backoffMs(retry, attempt), signal).catch(() => {})
    }
    return true
  }

  /** The copy of a parked change holds its value as it was shown: in the present shape. */
  async #park(change: Change, error: HeadwaterError): Promise<void> {
    const { port, collection } = this.#options
    await port.park({ ...change, schemaVersion: collection.schemaVersion }, error)
  }

  async #parkUnreadable(key: string, error: HeadwaterError): Promise<void> {
    const { port, collection, partition, state } = this.#options
    const [record] = await state.records(collection, [key])
    if (!record) return
    const { stamp, version, hash, schemaVersion, payload } = record
    await port.park(
      {
        collection: collection.name,
        key,
        kind: 'put',
        partition,
        bucket: this.#progress.bucket,
        stamp,
        position: formatPosition(partition, stamp),
        version: formatVersion(version, stamp.epoch),
        schemaVersion,
        time: 0,
        payload,
        value: undefined,
        hash,
        metadata: {},
      },
      error,
    )
  }

  async #count(): Promise<number> {
    const { collection, partition, heads } = this.#options
    return await heads.count(collection, partition)
  }

  async #note(): Promise<void> {
    this.#notedAt = performance.now()
    await this.#options.port.note(this.#progress)
  }
}

function newer(a: Stamp, b: Stamp): Stamp {
  return compareStamps(a, b) < 0 ? b : a
}
