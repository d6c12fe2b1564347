import { formatPosition } from '../change/position.ts'
import type { ErrorCode } from '../errors/error-codes.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { persist } from '../redis/persist.ts'
import type { ParkedEntry, ParkedFilter } from './parked-entry.ts'
import { entryField, parkedField, parseField, type ParkedKey } from './parked-key.ts'
import { ParkedStore } from './parked-store.ts'

/** A parked key, and under which field it is stored. */
export interface Found {
  readonly field: string
  readonly marker: ParkedKey
  readonly entry: ParkedEntry
}

/** Finds what a group has set aside, in all partitions; a key also without the definition of its collection. */
export class ParkedList {
  readonly #parts: LogParts
  readonly #group: string

  constructor(parts: LogParts, group: string) {
    this.#parts = parts
    this.#group = group
  }

  /** The longest parked first. */
  async find(filter: ParkedFilter = {}): Promise<Found[]> {
    const { keys } = this.#parts
    const now = await this.#now()
    const named = fieldOf(filter)
    const found = await Promise.all(
      keys.partitions.map(async (_, partition) => {
        if (filter.partition !== undefined && filter.partition !== partition) return []
        const store = this.store(partition)
        if (named === undefined) return this.#entries(partition, await store.keys(), now)
        const [marker] = await store.keysOf([named])
        return marker ? this.#entries(partition, new Map([[named, marker]]), now) : []
      }),
    )
    return found
      .flat()
      .filter(({ entry }) => matches(entry, filter))
      .toSorted((a, b) => a.entry.since - b.entry.since || (a.field < b.field ? -1 : 1))
  }

  /** How these stand by now: undefined where nothing is parked any more. */
  async again(keys: readonly Found[]): Promise<(readonly [Found, ParkedEntry | undefined])[]> {
    const looked: (readonly [Found, ParkedEntry | undefined])[] = []
    for (const [partition, found] of byPartition(keys)) {
      const markers = await this.store(partition).keysOf(found.map(({ field }) => field))
      for (const [index, each] of found.entries()) {
        const marker = markers[index]
        looked.push([
          each,
          marker && this.#entry(partition, each.field, marker, marker.since + each.entry.ageMs),
        ])
      }
    }
    return looked
  }

  store(partition: number): ParkedStore {
    const { connection, keys, hasher, metadata, collections, deadlineMs } = this.#parts
    const context = { hasher, partitions: metadata.partitions, buckets: metadata.buckets, collections }
    const of = keys.partitions[partition]!
    return new ParkedStore({ connection, keys: of, partition, group: this.#group, context, deadlineMs })
  }

  #entries(partition: number, markers: ReadonlyMap<string, ParkedKey>, now: number): Found[] {
    return [...markers].map(([field, marker]) => {
      return { field, marker, entry: this.#entry(partition, field, marker, now) }
    })
  }

  #entry(partition: number, field: string, marker: ParkedKey, now: number): ParkedEntry {
    const { since, first, last, count, code, reason, redrive, refused } = marker
    const of = parseField(field)
    return {
      group: this.#group,
      partition,
      collection: 'key' in of ? of.collection : '',
      key: 'key' in of ? of.key : '',
      entry: 'entry' in of ? `${partition}:${of.entry}` : undefined,
      reason: code as ErrorCode,
      message: reason,
      since,
      ageMs: Math.max(0, now - since),
      changes: count,
      first: formatPosition(partition, first),
      last: formatPosition(partition, last),
      redriving: redrive,
      refused,
    }
  }

  async #now(): Promise<number> {
    const { connection, deadlineMs } = this.#parts
    const options = { doing: 'reading the time of the Redis server', deadlineMs }
    const [seconds, microseconds] = await persist(connection, options, (client) => client.time())
    return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000)
  }
}

export function byPartition(keys: readonly Found[]): Map<number, Found[]> {
  const partitions = new Map<number, Found[]>()
  for (const found of keys) {
    const of = partitions.get(found.entry.partition)
    if (of) of.push(found)
    else partitions.set(found.entry.partition, [found])
  }
  return partitions
}

/** The one field that a filter can only mean; undefined where it may mean several. */
function fieldOf({ collection, key, entry }: ParkedFilter): string | undefined {
  if (entry !== undefined) return entryField(entry.slice(entry.indexOf(':') + 1))
  return collection !== undefined && key !== undefined ? parkedField(collection, key) : undefined
}

function matches(parked: ParkedEntry, { collection, key, entry, reason, minAgeMs }: ParkedFilter): boolean {
  return (
    (collection === undefined || parked.collection === collection) &&
    (key === undefined || parked.key === key) &&
    (entry === undefined || parked.entry === entry) &&
    (reason === undefined || parked.reason === reason) &&
    (minAgeMs === undefined || parked.ageMs >= minAgeMs)
  )
}
