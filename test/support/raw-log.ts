import type { Redis } from 'ioredis'

/** One change as it lies in a stream of the log, read by the documented layout and not by the log's own code. */
export interface RawChange {
  readonly collection: string
  readonly schemaVersion: number
  readonly key: string
  readonly kind: 'put' | 'delete'
  readonly epoch: number
  readonly sequence: number
  readonly version: number
  /** Empty for a delete. */
  readonly payload: string
  readonly metadata: Readonly<Record<string, string>>
}

/** What the log keeps beside itself of one key. */
export interface RawRecord {
  readonly epoch: number
  readonly sequence: number
  readonly version: number
  readonly hashHigh: number
  readonly hashLow: number
  readonly deleted: boolean
  readonly payload: string
}

/** The two lanes of one digest cell. */
export interface RawCell {
  readonly high: bigint
  readonly low: bigint
}

/** Every change of a partition, in the order of the stream. */
export async function rawChanges(client: Redis, namespace: string, partition: number): Promise<RawChange[]> {
  const changes: RawChange[] = []
  let from = '-'
  for (;;) {
    const entries = await client.xrange(`${prefixOf(namespace, partition)}:log`, from, '+', 'COUNT', 500)
    for (const [id, fields] of entries) changes.push(...changesOf(id, fields))
    if (entries.length < 500) return changes
    from = `(${entries.at(-1)![0]}`
  }
}

/** How many entries the stream of a partition has. */
export function rawEntryCount(client: Redis, namespace: string, partition: number): Promise<number> {
  return client.xlen(`${prefixOf(namespace, partition)}:log`)
}

/** The epoch that a partition's header names. */
export async function rawEpoch(client: Redis, namespace: string, partition: number): Promise<number> {
  return Number(await client.hget(`${prefixOf(namespace, partition)}:header`, 'epoch'))
}

/** The state of one collection in one partition: a map of records for each bucket. */
export async function rawState(
  client: Redis,
  namespace: string,
  partition: number,
  collection: string,
): Promise<Map<string, RawRecord>[]> {
  return await Promise.all(
    Array.from({ length: 16 }, async (_, bucket) => {
      const hash = `${prefixOf(namespace, partition)}:state:${collection}:${bucket}`
      const flat = (await client.callBuffer('HGETALL', hash)) as Buffer[]
      const records = new Map<string, RawRecord>()
      for (let at = 0; at < flat.length; at += 2) {
        const field = flat[at]!.toString()
        if (field !== '') records.set(unescaped(field), recordOf(flat[at + 1]!))
      }
      return records
    }),
  )
}

/** The digest of one collection in one partition, cell by cell. */
export async function rawDigest(
  client: Redis,
  namespace: string,
  partition: number,
  collection: string,
): Promise<RawCell[]> {
  const bytes = await client.getBuffer(`${prefixOf(namespace, partition)}:digest:${collection}`)
  return Array.from({ length: 16 }, (_, bucket) => ({
    high: bytes!.readBigInt64BE(bucket * 16),
    low: bytes!.readBigInt64BE(bucket * 16 + 8),
  }))
}

function changesOf(id: string, fields: readonly string[]): RawChange[] {
  const field: Record<string, string | undefined> = {}
  for (let at = 0; at < fields.length; at += 2) field[fields[at]!] = fields[at + 1]!
  const lines = (name: string): string[] => (field[name] ?? '').split('\n')
  const [epoch, last] = id.split('-').map(Number) as [number, number]
  const first = Number(field['first'])
  const [keys, payloads, types, metadata] = [
    lines('keys'),
    lines('payloads'),
    lines('types'),
    lines('metadata'),
  ]
  const versions = field['versions']!.split(' ')
  if (keys.length !== last - first + 1)
    throw new Error(`Entry ${id} begins at ${first} and has ${keys.length} keys.`)
  return keys.map((key, at) => {
    const [collection, schemaVersion] = types[indexOf(field['type-of'], at)]!.split('@')
    const described = indexOf(field['metadata-of'], at)
    return {
      collection: collection!,
      schemaVersion: Number(schemaVersion),
      key: unescaped(key),
      kind: field['operations']![at] === 'p' ? 'put' : 'delete',
      epoch,
      sequence: first + at,
      version: Number(versions[at]),
      payload: payloads[at]!,
      metadata: described === 0 ? {} : (JSON.parse(metadata[described - 1]!) as Record<string, string>),
    }
  })
}

function indexOf(list: string | undefined, at: number): number {
  return list === undefined ? 0 : Number(list.split(' ')[at])
}

function recordOf(bytes: Buffer): RawRecord {
  return {
    epoch: bytes.readUIntBE(0, 4),
    sequence: bytes.readUIntBE(4, 6),
    version: bytes.readUIntBE(10, 6),
    hashHigh: bytes.readUIntBE(16, 4),
    hashLow: bytes.readUIntBE(20, 5),
    deleted: bytes.readUInt8(25) === 2,
    payload: bytes.subarray(28).toString(),
  }
}

function unescaped(text: string): string {
  return text.replaceAll(/\\([n\\])/g, (_, escaped: string) => (escaped === 'n' ? '\n' : '\\'))
}

function prefixOf(namespace: string, partition: number): string {
  return `headwater:{${namespace}:${partition}}`
}
