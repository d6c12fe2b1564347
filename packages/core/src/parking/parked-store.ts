import type { BatchContext } from '../change/batch.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'
import { decodeCopy, type ParkedCopy } from './parked-copy.ts'
import { parseParkedKey, type ParkedKey } from './parked-key.ts'

export interface ParkedStoreOptions {
  readonly connection: Connection
  readonly keys: PartitionKeys
  readonly partition: number
  readonly group: string
  readonly context: BatchContext
  readonly deadlineMs: number
  readonly signal?: AbortSignal | undefined
}

const entriesAtOnce = 500

/** Reads what one partition of a group has set aside. */
export class ParkedStore {
  readonly #options: ParkedStoreOptions

  constructor(options: ParkedStoreOptions) {
    this.#options = options
  }

  /** By field. */
  async keys(): Promise<Map<string, ParkedKey>> {
    const { keys, group } = this.#options
    const markers = await this.#persist((client) => client.hgetall(keys.parkedKeys(group)))
    return new Map(
      Object.entries(markers)
        .filter(([field]) => field !== '')
        .map(([field, marker]) => [field, parseParkedKey(marker)]),
    )
  }

  /** In the order of the fields; undefined where nothing is set aside. */
  async keysOf(fields: readonly string[]): Promise<(ParkedKey | undefined)[]> {
    if (fields.length === 0) return []
    const { keys, group } = this.#options
    const markers = await this.#persist((client) => client.hmget(keys.parkedKeys(group), ...fields))
    return markers.map((marker) => (marker === null ? undefined : parseParkedKey(marker)))
  }

  /**
   * The copies of some keys, each key's in order. Reads on until all of them are found, or `sizeMax` characters; then each
   * key has its oldest copies, and some perhaps none.
   */
  async copies(markers: ReadonlyMap<string, ParkedKey>, sizeMax: number): Promise<Map<string, ParkedCopy[]>> {
    const { keys, group, context, partition } = this.#options
    const found = new Map<string, ParkedCopy[]>([...markers.keys()].map((field) => [field, []]))
    let missing = [...markers.values()].reduce((sum, { count }) => sum + count, 0)
    let size = 0
    let from = [...markers.values()].map((marker) => marker.from).reduce(earlier, '+')
    while (missing > 0 && size < sizeMax) {
      const entries = await this.#persist((client) =>
        client.xrange(keys.parked(group), from, '+', 'COUNT', entriesAtOnce),
      )
      for (const [id, fields] of entries) {
        const { field = '', change: json, code = '', reason = '' } = pairs(fields)
        const copies = found.get(field)
        if (!copies || json === undefined) continue
        copies.push({ id, change: decodeCopy(context, partition, json), code, reason })
        size += json.length
        missing--
      }
      if (entries.length < entriesAtOnce) break
      from = `(${entries.at(-1)![0]}`
    }
    return found
  }

  /** Of what could not be decoded: fields and values of the stream entry, byte by byte as they were. */
  async raw(field: string, { from }: ParkedKey): Promise<Buffer[] | undefined> {
    const { keys, group } = this.#options
    const entries = (await this.#persist((client) =>
      client.callBuffer('XRANGE', keys.parked(group), from, '+', 'COUNT', entriesAtOnce),
    )) as [Buffer, Buffer[]][]
    for (const [, fields] of entries) {
      const of = new Map<string, Buffer>()
      for (let at = 0; at + 1 < fields.length; at += 2) of.set(fields[at]!.toString(), fields[at + 1]!)
      const raw = of.get('raw')
      if (raw && of.get('field')?.toString() === field) return splitRaw(raw)
    }
    return undefined
  }

  #persist<T>(command: Parameters<typeof persist<T>>[2]): Promise<T> {
    const { connection, deadlineMs, signal, group } = this.#options
    const options = { doing: `reading what group ${group} has parked`, deadlineMs, ...(signal && { signal }) }
    return persist(connection, options, command)
  }
}

function pairs(fields: readonly string[]): Record<string, string | undefined> {
  const of: Record<string, string> = {}
  for (let at = 0; at + 1 < fields.length; at += 2) of[fields[at]!] = fields[at + 1]!
  return of
}

/** "3:key5:value" → key, value. */
function splitRaw(raw: Buffer): Buffer[] {
  const texts: Buffer[] = []
  for (let at = 0; at < raw.length;) {
    const colon = raw.indexOf(':', at)
    const end = colon + 1 + Number(raw.subarray(at, colon).toString())
    texts.push(raw.subarray(colon + 1, end))
    at = end
  }
  return texts
}

/** The earlier of two entry IDs, of which `+` is after all and `-` before all. */
function earlier(a: string, b: string): string {
  if (a === '+' || b === '-') return b
  if (b === '+' || a === '-') return a
  const [timeA, countA] = a.split('-').map(Number) as [number, number]
  const [timeB, countB] = b.split('-').map(Number) as [number, number]
  return (timeA - timeB || countA - countB) <= 0 ? a : b
}
