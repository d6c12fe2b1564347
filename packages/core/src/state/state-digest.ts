import { hashOfLanes } from '../change/content-hash.ts'
import { unescapeKey } from '../change/key.ts'
import type { AnyCollection } from '../collection/collection.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { persist } from '../redis/persist.ts'
import { script, type Script } from '../redis/script.ts'
import type { CellName, CellsQuery, DigestCell, DigestQuery } from '../sink/digest.ts'
import { bucketSums } from './bucket-sums.ts'
import { source as digestBucketLua } from './digest-bucket.lua.ts'
import { source as listCellsLua } from './list-cells.lua.ts'
import { decodeHead, type StateHead } from './state-record.ts'

const digestBucket: Script = script('digest-bucket', digestBucketLua)
const listCells: Script = script('list-cells', listCellsLua)

/** About how many records one script looks at. */
const recordsAtOnce = 8_000

/** The log's side of a digest: the cells that append keeps, and finer ones out of the state when they are asked for. */
export class StateDigest {
  readonly #parts: LogParts
  readonly #collection: AnyCollection

  constructor(parts: LogParts, collection: AnyCollection) {
    this.#parts = parts
    this.#collection = collection
  }

  /** The sum of each bucket, partition by partition. */
  async roots(): Promise<readonly (readonly bigint[])[]> {
    const { keys, metadata } = this.#parts
    return await Promise.all(
      keys.partitions.map(async (of) => {
        const lanes = await this.#persist((client) => client.getBuffer(of.digest(this.#collection.name)))
        return bucketSums(lanes, metadata.buckets)
      }),
    )
  }

  /** Cells of this depth inside the cells of the depth before. */
  async cells({ depth, within = [] }: DigestQuery): Promise<DigestCell[]> {
    const sums = new Map<string, DigestCell>()
    await this.#eachBucket(within, async (hash, { partition, bucket }, lows) => {
      for await (const lines of this.#pages(digestBucket, hash, [depth, ...lows])) {
        for (const line of lines) {
          const [low = '', count, high, rest] = line.toString().split(' ')
          const id = `${partition} ${bucket} ${low}`
          const held = sums.get(id) ?? { partition, bucket, low: Number(low), count: 0, sum: 0n }
          const sum = BigInt.asUintN(64, held.sum + hashOfLanes(BigInt(high!), BigInt(rest!)))
          sums.set(id, { ...held, count: held.count + Number(count), sum })
        }
      }
    })
    return [...sums.values()]
  }

  /** The live records in some cells. */
  async list({ depth, cells }: CellsQuery): Promise<Map<string, StateHead>> {
    const heads = new Map<string, StateHead>()
    await this.#eachBucket(cells, async (hash, _place, lows) => {
      for await (const page of this.#pages(listCells, hash, [depth, ...lows])) {
        for (let at = 0; at + 1 < page.length; at += 2) {
          heads.set(unescapeKey(page[at]!.toString()), decodeHead(page[at + 1]!))
        }
      }
    })
    return heads
  }

  async #eachBucket(
    cells: readonly CellName[],
    work: (hash: string, place: CellName, lows: readonly number[]) => Promise<void>,
  ): Promise<void> {
    const places = new Map<
      string,
      { readonly hash: string; readonly place: CellName; readonly lows: number[] }
    >()
    for (const place of cells) {
      const { partition, bucket, low } = place
      const keys = this.#parts.keys.partitions[partition]
      if (!keys || bucket < 0 || bucket >= this.#parts.metadata.buckets) continue
      const hash = keys.heads(this.#collection.name, bucket)
      const known = places.get(hash)
      if (known) known.lows.push(low)
      else places.set(hash, { hash, place, lows: [low] })
    }
    // One bucket after the other: a script looks at thousands of records, and appends want to get in between.
    for (const { hash, place, lows } of places.values()) await work(hash, place, lows)
  }

  async *#pages(of: Script, hash: string, args: readonly number[]): AsyncGenerator<Buffer[], void> {
    let cursor = '0'
    do {
      const input = { keys: [hash], args: [cursor, recordsAtOnce, ...args] }
      const reply = await this.#persist((client) => of.runBuffer(client, input))
      const [next, ...page] = reply as Buffer[]
      yield page
      cursor = next!.toString()
    } while (cursor !== '0')
  }

  async #persist<T>(command: Parameters<typeof persist<T>>[2]): Promise<T> {
    const { connection, deadlineMs } = this.#parts
    return await persist(connection, { doing: 'reading digests of the state', deadlineMs }, command)
  }
}
