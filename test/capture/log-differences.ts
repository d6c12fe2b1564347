import type { CapturedCollection, StateCaptureStatus } from '@headwater/redis'
import type { Redis } from 'ioredis'
import { rawState } from '../support/raw-log.ts'

/** In words, where the state of a log differs from a source; read by other commands than the capture's. */
export async function logDifferences(
  source: Redis,
  log: Redis,
  namespace: string,
  partitions: number,
  mappings: readonly CapturedCollection[],
  rejected: StateCaptureStatus['rejected'],
): Promise<string[]> {
  const found: string[] = []
  for (const { collection, keys, type, database } of mappings) {
    const [prefix] = keys.split('*') as [string]
    const here = await sourceValues(source, database, type, prefix)
    const there = await logValues(log, namespace, partitions, collection.name)
    for (const [id, value] of here) {
      const excused = rejected.some((of) => of.collection === collection.name && of.key === id)
      // What is no text cannot enter, and is told.
      if (!isText(value)) {
        if (!excused) found.push(`${collection.name} ${id} is no text, and nobody says so`)
      } else if (there.get(id) !== JSON.stringify(value)) {
        found.push(`${collection.name} ${id} is ${there.get(id)}, not ${JSON.stringify(value)}`)
      }
    }
    for (const id of there.keys()) if (!here.has(id)) found.push(`${collection.name} ${id} is too many`)
  }
  await source.select(0)
  return found
}

type Plain = string | Plain[] | { [name: string]: string }

async function sourceValues(
  client: Redis,
  database: number,
  type: string,
  prefix: string,
): Promise<Map<string, Plain>> {
  await client.select(database)
  const values = new Map<string, Plain>()
  for (const key of await client.keys(`${prefix}*`)) {
    if ((await client.type(key)) !== type) continue
    const value = await sourceValue(client, type, key)
    if (value !== undefined) values.set(key.slice(prefix.length), value)
  }
  return values
}

async function sourceValue(client: Redis, type: string, key: string): Promise<Plain | undefined> {
  switch (type) {
    case 'string': {
      const value = await client.getBuffer(key)
      return value === null ? undefined : textOrMark(value)
    }
    case 'list': {
      const items = (await client.lrangeBuffer(key, 0, -1)).map(textOrMark)
      return items.length === 0 ? undefined : items
    }
    case 'set': {
      const items = (await client.callBuffer('SORT', key, 'BY', 'nosort')) as Buffer[]
      return items.length === 0 ? undefined : items.map(textOrMark).toSorted()
    }
    case 'hash': {
      const names = (await client.hkeysBuffer(key)).map(textOrMark).toSorted()
      if (names.length === 0) return undefined
      const values = (await client.hmgetBuffer(key, ...names)).map((value) =>
        textOrMark(value ?? Buffer.alloc(0)),
      )
      return Object.fromEntries(names.map((name, at) => [name, values[at]!]))
    }
    default: {
      const members = await client.zrangebyscore(key, '-inf', '+inf', 'WITHSCORES')
      const pairs = Array.from({ length: members.length / 2 }, (_, at) => [
        members[at * 2]!,
        String(Number(members[at * 2 + 1]!.replace('inf', 'Infinity'))),
      ])
      return pairs.length === 0 ? undefined : pairs
    }
  }
}

/** A mark in the place of what is no text. */
function textOrMark(bytes: Buffer): string {
  const text = bytes.toString()
  return Buffer.from(text).equals(bytes) ? text : '\uFFFD'
}

function isText(value: Plain): boolean {
  return !JSON.stringify(value).includes('\uFFFD')
}

async function logValues(
  client: Redis,
  namespace: string,
  partitions: number,
  collection: string,
): Promise<Map<string, string>> {
  const values = new Map<string, string>()
  for (let partition = 0; partition < partitions; partition++) {
    for (const bucket of await rawState(client, namespace, partition, collection)) {
      for (const [key, { deleted, payload }] of bucket) {
        if (!deleted) values.set(key, JSON.stringify((JSON.parse(payload) as { value: unknown }).value))
      }
    }
  }
  return values
}
