import type { RdbEntry, RdbItem, RdbValue, StreamId, StreamValue } from '@headwater/rdb'
import type { Redis } from 'ioredis'

/** Every key of a server in a form that can be compared: database and key → what it holds. Bytes are latin1 text. */
export type Keyspace = Record<string, unknown>

const text = (bytes: Buffer): string => bytes.toString('latin1')
const nameOf = (database: number, key: Buffer): string => `${database} ${text(key)}`

/** As the server answers it. */
export async function keyspaceOf(client: Redis): Promise<Keyspace> {
  const keyspace: Keyspace = {}
  const held = (await client.info('keyspace')).matchAll(/^db(\d+):/gm)
  for (const [, database] of held) {
    await client.select(Number(database))
    for (const key of (await client.callBuffer('KEYS', '*')) as Buffer[])
      keyspace[nameOf(Number(database), key)] = await answerOf(client, key)
  }
  return keyspace
}

/** As a dump says it. */
export function keyspaceOfItems(items: readonly RdbItem[]): Keyspace {
  const keyspace: Keyspace = {}
  for (const item of items) {
    if (item.kind === 'entry' && !isEmpty(item.value))
      keyspace[nameOf(item.database, item.key)] = meaningOf(item)
  }
  return keyspace
}

// Redis drops such keys when it loads them.
function isEmpty(value: RdbValue): boolean {
  if (value.type === 'list') return value.elements.length === 0
  if (value.type === 'hash') return value.fields.length === 0
  return (value.type === 'set' || value.type === 'zset') && value.members.length === 0
}

export async function answerOf(client: Redis, key: Buffer | string): Promise<unknown> {
  const call = (name: string, ...args: (string | Buffer | number)[]) => client.callBuffer(name, ...args)
  const type = text((await call('TYPE', key)) as Buffer)
  const expiry = Number(await call('PEXPIRETIME', key))
  return {
    type,
    ...(expiry < 0 ? {} : { expiresAtMs: String(expiry) }),
    value: await valueAnswer(client, type, key),
  }
}

async function valueAnswer(client: Redis, type: string, key: Buffer | string): Promise<unknown> {
  const list = async (name: string, ...args: (string | Buffer | number)[]) =>
    ((await client.callBuffer(name, ...args)) as Buffer[]).map(text)
  switch (type) {
    case 'string':
      return text((await client.getBuffer(key))!)
    case 'list':
      return list('LRANGE', key, 0, -1)
    case 'set':
      return (await list('SMEMBERS', key)).toSorted()
    case 'hash': {
      const fields = pairs(await list('HGETALL', key)).map(([field, value]) => [field, value])
      const expiries = await fieldExpiries(
        client,
        key,
        fields.map(([field]) => field!),
      )
      return fields.map(([field, value], index) => [field, value, expiries[index]]).toSorted(byFirst)
    }
    case 'zset':
      return pairs(await list('ZRANGE', key, 0, -1, 'WITHSCORES'))
        .map(([member, score]) => [member, scoreText(score)])
        .toSorted(byFirst)
    case 'stream':
      return streamAnswer(client, key)
    default:
      return type
  }
}

async function fieldExpiries(
  client: Redis,
  key: Buffer | string,
  fields: string[],
): Promise<(string | null)[]> {
  try {
    const names = fields.map((field) => Buffer.from(field, 'latin1'))
    const times = (await client.call('HPEXPIRETIME', key, 'FIELDS', names.length, ...names)) as number[]
    return times.map((time) => (time < 0 ? null : String(time)))
  } catch {
    // Before Redis 7.4, and on Valkey 8, fields do not expire.
    return fields.map(() => null)
  }
}

async function streamAnswer(client: Redis, key: Buffer | string): Promise<unknown> {
  const info = named((await client.callBuffer('XINFO', 'STREAM', key, 'FULL', 'COUNT', 0)) as unknown[])
  return {
    entries: (info['entries'] as [Buffer, Buffer[]][]).map(([id, fields]) => [text(id), fields.map(text)]),
    lastId: text(info['last-generated-id'] as Buffer),
    maxDeletedId: text(info['max-deleted-entry-id'] as Buffer),
    entriesAdded: String(info['entries-added']),
    groups: inOrder(
      (info['groups'] as unknown[][]).map(named).map((group) => ({
        name: text(group['name'] as Buffer),
        lastDeliveredId: text(group['last-delivered-id'] as Buffer),
        entriesRead: group['entries-read'] === null ? null : (group['entries-read'] as string),
        consumers: (group['consumers'] as unknown[][])
          .map(named)
          .map((consumer) => text(consumer['name'] as Buffer)),
        pending: (group['pending'] as [Buffer, Buffer, number, number][]).map(
          ([id, consumer, time, count]) => [text(id), text(consumer), String(time), String(count)],
        ),
      })),
    ),
  }
}

function meaningOf({ value, expiresAtMs }: RdbEntry): unknown {
  const expiry = expiresAtMs === undefined ? {} : { expiresAtMs: String(expiresAtMs) }
  return { type: value.type, ...expiry, value: valueMeaning(value) }
}

function valueMeaning(value: RdbValue): unknown {
  switch (value.type) {
    case 'string':
      return text(value.value)
    case 'list':
      return value.elements.map(text)
    case 'set':
      return value.members.map(text).toSorted()
    case 'hash':
      return value.fields
        .map(({ field, value, expiresAtMs }) => [text(field), text(value), expiresAtMs?.toString() ?? null])
        .toSorted(byFirst)
    case 'zset':
      return value.members.map(({ member, score }) => [text(member), String(score)]).toSorted(byFirst)
    default:
      return streamMeaning(value)
  }
}

function streamMeaning(value: StreamValue): unknown {
  return {
    entries: value.entries.map(({ id, fields }) => [idText(id), fields.map(text)]),
    lastId: idText(value.lastId),
    maxDeletedId: value.maxDeletedId === undefined ? undefined : idText(value.maxDeletedId),
    entriesAdded: value.entriesAdded?.toString(),
    groups: inOrder(
      value.groups.map(({ name, lastDeliveredId, entriesRead, consumers, pending }) => ({
        name: text(name),
        lastDeliveredId: idText(lastDeliveredId),
        entriesRead: entriesRead === undefined ? null : String(BigInt.asIntN(64, entriesRead)),
        consumers: consumers.map(({ name }) => text(name)),
        pending: pending.map(({ id, consumer, deliveredAtMs, deliveries }) => [
          idText(id),
          text(consumer),
          String(deliveredAtMs),
          String(deliveries),
        ]),
      })),
    ),
  }
}

// Both sides go through the same number: Redis prints 17 digits, JavaScript as many as needed. The sign of zero is lost.
function scoreText(score: string): string {
  return String(score === 'inf' ? Infinity : score === '-inf' ? -Infinity : Number(score))
}

// A server lists groups and consumers by name, a dump as it likes.
function inOrder<T extends { readonly name: string; readonly consumers: string[] }>(groups: T[]): T[] {
  return groups
    .map((group) => ({ ...group, consumers: group.consumers.toSorted() }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

function idText({ ms, sequence }: StreamId): string {
  return `${ms}-${sequence}`
}

function named(flat: unknown[]): Record<string, unknown> {
  return Object.fromEntries(pairs(flat).map(([name, value]) => [text(name as Buffer), value]))
}

function pairs<T>(flat: readonly T[]): [T, T][] {
  return Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index]!, flat[2 * index + 1]!])
}

function byFirst(a: readonly unknown[], b: readonly unknown[]): number {
  return String(a[0]) < String(b[0]) ? -1 : 1
}
