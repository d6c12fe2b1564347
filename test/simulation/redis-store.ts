/** An entry of a stream. */
interface StoredEntry {
  readonly id: string
  readonly fields: readonly string[]
}

interface StreamGroup {
  lastDelivered: string
  /** IDs that were delivered and not acknowledged, in the order of the stream. */
  pending: string[]
}

export interface StoredStream {
  entries: StoredEntry[]
  /** Of the newest entry that there ever was. */
  lastId: string
  readonly groups: Map<string, StreamGroup>
}

type Stored = Map<string, string> | Map<string, number> | StoredStream

/** What Redis itself rejects a command with. */
export class ReplyError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ReplyError'
  }
}

/** The data of a Redis server, as far as workers use it: hashes, sorted sets, streams with groups. */
export class RedisStore {
  readonly #keys = new Map<string, Stored>()

  hash(key: string): Map<string, string> {
    return this.#of(key, () => new Map<string, string>())
  }

  sortedSet(key: string): Map<string, number> {
    return this.#of(key, () => new Map<string, number>())
  }

  stream(key: string): StoredStream {
    return this.#of(key, () => ({ entries: [], lastId: '0-0', groups: new Map() }))
  }

  #of<T extends Stored>(key: string, make: () => T): T {
    let stored = this.#keys.get(key) as T | undefined
    if (!stored) this.#keys.set(key, (stored = make()))
    return stored
  }
}

/** Runs one of the plain commands that workers send, and answers as ioredis does. */
export function runCommand(store: RedisStore, name: string, args: readonly string[], nowMs: number): unknown {
  const [key = '', ...rest] = args
  switch (name) {
    case 'hgetall':
      return Object.fromEntries(store.hash(key))
    case 'hget':
      return store.hash(key).get(rest[0]!) ?? null
    case 'hmget':
      return rest.map((field) => store.hash(key).get(field) ?? null)
    case 'hkeys':
      return [...store.hash(key).keys()]
    case 'hset':
      return setFields(store.hash(key), rest)
    case 'hdel':
      return rest.filter((field) => store.hash(key).delete(field)).length
    case 'time':
      return [String(Math.floor(nowMs / 1_000)), String(Math.floor((nowMs % 1_000) * 1_000))]
    case 'xrange':
      return range(store.stream(key), rest[0]!, rest[1]!, Number(rest[3] ?? Number.POSITIVE_INFINITY)).map(
        ({ id, fields }) => [id, fields],
      )
    case 'xinfo':
      return [...store.stream(rest[0]!).groups].map(([group, { lastDelivered, pending }]) => [
        'name',
        group,
        'pending',
        pending.length,
        'last-delivered-id',
        lastDelivered,
      ])
    case 'xpending': {
      const [group, from, to, count] = rest as [string, string, string, string]
      return groupOf(store.stream(key), key, group)
        .pending.filter((id) => isWithin(id, from, to))
        .slice(0, Number(count))
        .map((id) => [id, 'headwater', 0, 1])
    }
    case 'xgroup': {
      const [of, group, id] = rest as [string, string, string]
      const { groups } = store.stream(of)
      if (key === 'DESTROY') return groups.delete(group) ? 1 : 0
      if (key === 'SETID') {
        groupOf(store.stream(of), of, group).lastDelivered = id
        return 'OK'
      }
      if (groups.has(group)) throw new ReplyError('BUSYGROUP Consumer Group name already exists')
      groups.set(group, { lastDelivered: id, pending: [] })
      return 'OK'
    }
    default:
      throw new Error(`The simulated Redis does not know ${name}.`)
  }
}

/** How many of the fields are new. */
function setFields(hash: Map<string, string>, pairs: readonly string[]): number {
  const before = hash.size
  for (let at = 0; at + 1 < pairs.length; at += 2) hash.set(pairs[at]!, pairs[at + 1]!)
  return hash.size - before
}

export function addEntry(stream: StoredStream, id: string, fields: readonly string[]): void {
  stream.entries.push({ id, fields })
  stream.lastId = id
}

/** Delivers what is new to a group; undefined when there is nothing. */
export function readGroup(
  stream: StoredStream,
  key: string,
  group: string,
  count: number,
): readonly [string, readonly string[]][] | undefined {
  const of = groupOf(stream, key, group)
  const entries = range(stream, `(${of.lastDelivered}`, '+', count)
  if (entries.length === 0) return undefined
  of.lastDelivered = entries.at(-1)!.id
  of.pending.push(...entries.map(({ id }) => id))
  return entries.map(({ id, fields }) => [id, fields])
}

function groupOf({ groups }: StoredStream, key: string, group: string): StreamGroup {
  const found = groups.get(group)
  if (found) return found
  throw new ReplyError(
    `NOGROUP No such key '${key}' or consumer group '${group}' in XREADGROUP with GROUP option`,
  )
}

/** Entries from one ID to another, which may be `-`, `+` or exclusive, as `(1-2`. */
function range({ entries }: StoredStream, from: string, to: string, count: number): StoredEntry[] {
  const found: StoredEntry[] = []
  for (const entry of entries) {
    if (found.length >= count) break
    if (isWithin(entry.id, from, to)) found.push(entry)
  }
  return found
}

function isWithin(id: string, from: string, to: string): boolean {
  const isAfter = from.startsWith('(') ? compareIds(id, from.slice(1)) > 0 : compareIds(id, from) >= 0
  return isAfter && compareIds(id, to) <= 0
}

function compareIds(a: string, b: string): number {
  if (a === b) return 0
  if (a === '-' || b === '+') return -1
  if (a === '+' || b === '-') return 1
  const [highA, lowA] = a.split('-').map(Number) as [number, number]
  const [highB, lowB] = b.split('-').map(Number) as [number, number]
  return highA - highB || lowA - lowB
}
