import type { Cluster, Redis } from 'ioredis'

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
export async function rawChanges(
  client: Redis | Cluster,
  namespace: string,
  partition: number,
): Promise<RawChange[]> {
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
  const buckets = await bucketsOf(client, namespace)
  return await Promise.all(
    Array.from({ length: buckets }, async (_, bucket) => {
      const [heads, values] = await Promise.all(
        ['heads', 'values'].map((name) =>
          fieldsOf(client, `${prefixOf(namespace, partition)}:${name}:${collection}:${bucket}`),
        ),
      )
      const records = new Map<string, RawRecord>()
      for (const [field, head] of heads!) {
        if (field !== '') records.set(unescaped(field), recordOf(head, values!.get(field)))
        values!.delete(field)
      }
      if (values!.size > 0)
        throw new Error(`There are values without heads: ${[...values!.keys()].join(', ')}.`)
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
  const buckets = await bucketsOf(client, namespace)
  return Array.from({ length: buckets }, (_, bucket) => ({
    high: bytes!.readBigInt64BE(bucket * 16),
    low: bytes!.readBigInt64BE(bucket * 16 + 8),
  }))
}

async function bucketsOf(client: Redis, namespace: string): Promise<number> {
  return Number(await client.hget(`headwater:{${namespace}}:metadata`, 'buckets'))
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
  const operations = field['operations']!
  if (keys.length !== last - first + 1)
    throw new Error(`Entry ${id} begins at ${first} and has ${keys.length} keys.`)
  return keys.map((key, at) => {
    const [collection, schemaVersion] = types[indexOf(field['type-of'], at)]!.split('@')
    const described = indexOf(field['metadata-of'], at)
    return {
      collection: collection!,
      schemaVersion: Number(schemaVersion),
      key: unescaped(key),
      kind: operations[operations.length === 1 ? 0 : at] === 'p' ? 'put' : 'delete',
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

/** Flat, because an object cannot have every field. */
async function fieldsOf(client: Redis, hash: string): Promise<Map<string, Buffer>> {
  const flat = (await client.callBuffer('HGETALL', hash)) as Buffer[]
  const fields = new Map<string, Buffer>()
  for (let at = 0; at < flat.length; at += 2) fields.set(flat[at]!.toString(), flat[at + 1]!)
  return fields
}

function recordOf(head: Buffer, value: Buffer | undefined): RawRecord {
  const seven = (from: number, to: number): number =>
    head.subarray(from, to).reduce((number, byte) => number * 128 + byte, 0)
  const deleted = head.toString('latin1', 23, 24) === 'd'
  if (deleted && value) throw new Error(`A deleted key has the value ${value.toString()}.`)
  return {
    epoch: head.readUIntBE(0, 6),
    sequence: head.readUIntBE(6, 6) + seven(12, 14),
    version: Number(head.toString('latin1', 27)),
    hashHigh: seven(14, 18),
    hashLow: seven(18, 23),
    deleted,
    payload: value?.toString() ?? '',
  }
}

function unescaped(text: string): string {
  return text.replaceAll(/\\([n\\])/g, (_, escaped: string) => (escaped === 'n' ? '\n' : '\\'))
}

function prefixOf(namespace: string, partition: number): string {
  return `headwater:{${namespace}:${partition}}`
}
