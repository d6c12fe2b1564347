/** An entry of a stream. */
interface StoredEntry {
  readonly id: string
  /** Both halves of its ID. */
  readonly place: Place
  readonly fields: readonly string[]
}

type Place = readonly [number, number]

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
    const stored = this.#keys.get(key) as Map<string, string> | undefined
    return stored ?? this.#keep(key, new Map<string, string>())
  }

  sortedSet(key: string): Map<string, number> {
    const stored = this.#keys.get(key) as Map<string, number> | undefined
    return stored ?? this.#keep(key, new Map<string, number>())
  }

  stream(key: string): StoredStream {
    const stored = this.#keys.get(key) as StoredStream | undefined
    return stored ?? this.#keep(key, { entries: [], lastId: '0-0', groups: new Map() })
  }

  #keep<T extends Stored>(key: string, stored: T): T {
    this.#keys.set(key, stored)
    return stored
  }
}

/** Runs one of the plain commands that workers send, and answers as ioredis does. */
export function runCommand(store: RedisStore, name: string, args: readonly string[], nowMs: number): unknown {
  const key = args[0] ?? ''
  switch (name) {
    case 'hgetall':
      return Object.fromEntries(store.hash(key))
    case 'hget':
      return store.hash(key).get(args[1]!) ?? null
    case 'hmget': {
      const hash = store.hash(key)
      return args.slice(1).map((field) => hash.get(field) ?? null)
    }
    case 'hkeys':
      return [...store.hash(key).keys()]
    case 'hset':
      return setFields(store.hash(key), args.slice(1))
    case 'hdel':
      return args.slice(1).filter((field) => store.hash(key).delete(field)).length
    case 'time':
      return [String(Math.floor(nowMs / 1_000)), String(Math.floor((nowMs % 1_000) * 1_000))]
    case 'xrange':
      return range(store.stream(key), args[1]!, args[2]!, Number(args[4] ?? Number.POSITIVE_INFINITY)).map(
        ({ id, fields }) => [id, fields],
      )
    case 'xinfo':
      return [...store.stream(args[1]!).groups].map(([group, { lastDelivered, pending }]) => [
        'name',
        group,
        'pending',
        pending.length,
        'last-delivered-id',
        lastDelivered,
      ])
    case 'xpending': {
      const [, group, from, to, count] = args as [string, string, string, string, string]
      return groupOf(store.stream(key), key, group)
        .pending.filter((id) => isWithin(placeOf(id), firstOf(from), lastOf(to)))
        .slice(0, Number(count))
        .map((id) => [id, 'headwater', 0, 1])
    }
    case 'xgroup': {
      const [, of, group, id] = args as [string, string, string, string]
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
  stream.entries.push({ id, place: placeOf(id), fields })
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
  const [first, last] = [firstOf(from), lastOf(to)]
  const found: StoredEntry[] = []
  for (const entry of entries) {
    if (found.length >= count) break
    if (isWithin(entry.place, first, last)) found.push(entry)
  }
  return found
}

/** Both are included. */
function isWithin(place: Place, first: Place, last: Place): boolean {
  return comparePlaces(place, first) >= 0 && comparePlaces(place, last) <= 0
}

/** The first place of a range that begins at an ID, after one, as `(1-2`, or at `-`. */
function firstOf(from: string): Place {
  if (from === '-') return [0, 0]
  if (!from.startsWith('(')) return placeOf(from)
  const [high, low] = placeOf(from.slice(1))
  return [high, low + 1]
}

function lastOf(to: string): Place {
  return to === '+' ? [Number.POSITIVE_INFINITY, 0] : placeOf(to)
}

function placeOf(id: string): Place {
  const dash = id.indexOf('-')
  return [Number(id.slice(0, dash)), Number(id.slice(dash + 1))]
}

function comparePlaces([highA, lowA]: Place, [highB, lowB]: Place): number {
  return highA - highB || lowA - lowB
}
