import { locate, type Router } from '../append/prepare.ts'
import { unescapeKey } from '../change/key.ts'
import { compareStamps } from '../change/stamp.ts'
import { isHeadwaterError } from '../errors/headwater-error.ts'
import type { LeaseRequest } from '../group/lease.ts'
import { changeAt } from '../log/change-at.ts'
import { readHeader } from '../log/header.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { parkedField, parseParkedKey } from '../parking/parked-key.ts'
import { persist } from '../redis/persist.ts'
import type { Sink, SinkPartition } from '../sink/sink.ts'
import { StateHeads } from '../state/state-heads.ts'
import { verifyPartition } from '../verify/verify.ts'
import type { Marker } from './marker.ts'
import { noteProof, type CheckResult } from './partition-proof.ts'

export interface ProverOptions {
  readonly parts: LogParts
  /** Guarded. */
  readonly sink: Sink
  readonly request: LeaseRequest
  readonly token: number
  readonly partition: number
  /** Told what each check came to, at the moment of the check. */
  readonly onChecked: (check: Check) => void
}

export interface Check {
  readonly result: CheckResult
  readonly marker: Marker
  /** Why it is not `equal`. */
  readonly reason: string
}

type Sums = ReadonlyMap<number, bigint>

/** A check may take this part of the time. */
const share = 1 / 20
/** Further behind than this, keys that differ are mostly late ones: whoever is so far behind is not looked into. */
const lookIntoBehindMax = 10_000
const judgeMs = 5_000
const parkedMax = 5_000
const parkedAtOnce = 500

/**
 * Checks one partition of a sink at the markers of the log. Equal sums prove it equal. Other sums alone prove nothing: a
 * repair, a first copy or a second group may have brought rows that are newer than the marker. So whatever seems to differ
 * is judged key by key, as `verify` does, and only what that finds is called different.
 */
export class Prover {
  readonly #options: ProverOptions
  readonly #router: Router
  #restsUntil = 0
  #refused = false
  #running: Promise<void> | undefined

  constructor(options: ProverOptions) {
    const { hasher, metadata } = options.parts
    this.#options = options
    this.#router = { hasher, partitions: metadata.partitions, buckets: metadata.buckets }
  }

  /**
   * Looks at the sink at a marker: everything before it is done, and nothing behind it goes on until this resolves. What it
   * comes to is told later. Never rejects.
   */
  async look(marker: Marker, opened: SinkPartition): Promise<void> {
    if (this.#running || performance.now() < this.#restsUntil) return
    const beganAt = performance.now()
    let release!: () => void
    const looked = new Promise<void>((resolve) => (release = resolve))
    this.#running = this.#check(marker, opened, release)
      .catch((error: unknown): Check => ({ marker, result: 'unprovable', reason: reasonOf(error) }))
      .then((check) => this.#tell(check))
      .finally(() => {
        release()
        this.#running = undefined
        this.#restsUntil = performance.now() + (performance.now() - beganAt) / share
      })
    await looked
  }

  /** A marker of which this sink can make nothing; noted once. */
  refuse(marker: Marker): void {
    if (this.#refused) return
    this.#refused = true
    void this.#tell(unprovable(marker, 'the sink cannot sum up what it holds'))
  }

  async #check(marker: Marker, opened: SinkPartition, release: () => void): Promise<Check> {
    const { sink, parts } = this.#options
    const stored = marker.sums.get(sink.collection.name)
    if (!stored) return unprovable(marker, 'the marker has no sums of the collection')
    const expected: Sums = new Map(stored.entries())
    const parked = await this.#parked(marker)
    if (typeof parked === 'string') return unprovable(marker, parked)
    const isEqual = (sums: Sums): boolean => {
      for (let bucket = 0; bucket < parts.metadata.buckets; bucket++) {
        const missing = difference(expected, parked.log, bucket) - difference(sums, parked.sink, bucket)
        if (BigInt.asUintN(64, missing) !== 0n) return false
      }
      return true
    }
    const snapshot = await opened.snapshot!()
    if (!snapshot.recount) release()
    if (isEqual(await snapshot.sums)) return { marker, result: 'equal', reason: '' }
    // What is kept may be off although the rows are right, where somebody mended them: so they are counted once more.
    if (snapshot.recount && isEqual(await snapshot.recount())) return { marker, result: 'equal', reason: '' }
    release()
    return await this.#judge(marker)
  }

  async #judge(marker: Marker): Promise<Check> {
    const { parts, sink, request, partition } = this.#options
    const header = await readHeader(parts.connection, request.keys, parts.deadlineMs)
    if (!header || header.sequence - marker.stamp.sequence > lookIntoBehindMax) {
      return unprovable(marker, 'the sums differ, and the group is too far behind to be looked into')
    }
    const { result, counts } = await verifyPartition(parts, sink, request.group, partition, judgeMs)
    if (result !== 'different') {
      return unprovable(
        marker,
        'the sink is ahead of the marker: a copy, a repair or another group writes to it',
      )
    }
    const found = Object.entries(counts).filter(([verdict, count]) => verdict !== 'behind' && count > 0)
    const reason = found.map(([verdict, count]) => `${count} ${verdict}`).join(', ')
    return { marker, result: 'different', reason }
  }

  /** What parked keys make of the sums on both sides; or why that cannot be said. */
  async #parked({ stamp }: Marker): Promise<{ log: Sums; sink: Sums } | string> {
    const { parts, sink, request } = this.#options
    const prefix = parkedField(sink.collection.name, '')
    const marks = await persist(
      parts.connection,
      { doing: 'reading the parked keys', deadlineMs: request.leaseMs },
      (client) => client.hgetall(request.keys.parkedKeys(request.group)),
    )
    const fields = Object.keys(marks).filter((field) => field.startsWith(prefix))
    const [inLog, inSink] = [new Map<number, bigint>(), new Map<number, bigint>()]
    if (fields.length > parkedMax) return `more than ${parkedMax} keys are parked`
    const heads = new StateHeads(parts.connection, parts.keys, this.#router, parts.deadlineMs)
    for (let from = 0; from < fields.length; from += parkedAtOnce) {
      const page = fields.slice(from, from + parkedAtOnce)
      const keys = page.map((field) => unescapeKey(field.slice(prefix.length)))
      const states = await heads.read(sink.collection, keys)
      const rows = await sink.read!(keys)
      for (const [index, key] of keys.entries()) {
        const { bucket } = locate(this.#router, sink.collection, key)
        const state = states[index]
        // What was appended later stands behind the marker: the key's last change before it is the one parked last.
        const isLater = state !== undefined && compareStamps(state.stamp, stamp) > 0
        const hash = isLater ? await this.#parkedHash(marks[page[index]!]!) : (state?.hash ?? 0n)
        if (hash === undefined) return 'a parked change is not in the log any more'
        add(inLog, bucket, hash)
        add(inSink, bucket, rows[index]?.hash ?? 0n)
      }
    }
    return { log: inLog, sink: inSink }
  }

  async #parkedHash(mark: string): Promise<bigint | undefined> {
    const { parts, partition } = this.#options
    const change = await changeAt(parts, partition, parseParkedKey(mark).last)
    // An event does not say what state follows from it.
    return change?.kind === 'event' ? undefined : change?.hash
  }

  async #tell(check: Check): Promise<void> {
    const { parts, request, token, onChecked } = this.#options
    onChecked(check)
    const { result, reason, marker } = check
    await parts.connection
      .attempt(
        (client) => noteProof(client, request, token, { result, reason, at: marker.stamp }),
        request.leaseMs,
      )
      .catch(() => {
        // The next check notes again what it finds.
      })
  }
}

function unprovable(marker: Marker, reason: string): Check {
  return { marker, result: 'unprovable', reason }
}

function difference(sums: Sums, without: Sums, bucket: number): bigint {
  return (sums.get(bucket) ?? 0n) - (without.get(bucket) ?? 0n)
}

function add(sums: Map<number, bigint>, bucket: number, hash: bigint): void {
  sums.set(bucket, (sums.get(bucket) ?? 0n) + hash)
}

/** Only the code: what a sink says of a failure may quote a value or a connection string. */
function reasonOf(error: unknown): string {
  return `the check failed: ${isHeadwaterError(error) ? error.code : 'unexpected error'}`
}
