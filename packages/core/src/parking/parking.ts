import type { Position } from '../change/position.ts'
import { formatPosition } from '../change/position.ts'
import type { Version } from '../change/version.ts'
import type { AppendResult } from '../append/append-result.ts'
import type { CollectionOf } from '../collection/collection.ts'
import type { Expected } from '../append/expected.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { persist } from '../redis/persist.ts'
import { drop } from './drop.ts'
import { firstLeft } from './feed-back.ts'
import type { ParkedChange, ParkedDetail, ParkedEntry, ParkedFilter } from './parked-entry.ts'
import type { ParkedCopy } from './parked-copy.ts'
import { ParkedList, type Found } from './parked-list.ts'
import { redrive, type RedriveOptions, type RedriveReport } from './redrive.ts'

/** One parked key, or one entry of the stream that could not be decoded. */
export type ParkedName = { readonly collection: string; readonly key: string } | { readonly entry: string }

export interface EditOptions {
  /** The version that the key must still have. Default: that of the newest change that is set aside. */
  readonly expected?: Expected
  /** As for `redrive`. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface DropOptions extends ParkedFilter {
  /** Everything that the group has parked: needed where nothing else is asked for. */
  readonly all?: boolean
  /** Only says what would be given up. Default false. */
  readonly dryRun?: boolean
  /** Called as keys get done, with how many of them are. */
  readonly onProgress?: (done: number, total: number) => void
}

export interface DropReport {
  readonly dryRun: boolean
  /** Keys of which nothing is parked any more, or that matched in a dry run. */
  readonly keys: number
  readonly changes: number
}

/** A key may get changes while it is dropped: so often it is looked at again. */
const roundsMax = 100

/**
 * What a group has set aside: to look at, and to get going again. Works from any process; feeding back is done by the
 * workers that own the partitions, since they alone may write to the sink there.
 */
export class Parking {
  readonly #log: Log
  readonly #parts: LogParts
  readonly #group: string
  readonly #list: ParkedList

  /** @internal */
  constructor(log: Log, parts: LogParts, group: string) {
    this.#log = log
    this.#parts = parts
    this.#group = group
    this.#list = new ParkedList(parts, group)
  }

  /** What is parked and why, the longest parked first. */
  async list(filter: ParkedFilter = {}): Promise<ParkedEntry[]> {
    return (await this.#list.find(filter)).map(({ entry }) => entry)
  }

  /**
   * A parked key with its changes, or an entry with its bytes.
   *
   * @throws HeadwaterError PARKED_UNKNOWN
   */
  async show(name: ParkedName): Promise<ParkedDetail> {
    const found = await this.#one(name)
    const copies = await this.#copies(found)
    const raw = await this.#list.store(found.entry.partition).raw(found.field, found.marker)
    return { ...found.entry, contents: copies.map(contentOf), raw }
  }

  /** Feeds what matches back to the sink, in order and rate limited: see `RedriveOptions`. Without a filter, everything. */
  redrive(options: RedriveOptions = {}): Promise<RedriveReport> {
    return redrive(this.#parts, this.#group, options)
  }

  /**
   * Feeds one key back, as it is.
   *
   * @throws HeadwaterError PARKED_UNKNOWN
   */
  async retry(
    name: ParkedName,
    options: Pick<RedriveOptions, 'timeoutMs' | 'signal'> = {},
  ): Promise<RedriveReport> {
    await this.#one(name)
    return await this.redrive({ ...options, ...name })
  }

  /**
   * Appends a corrected value as the next version of a parked key, on the version that the key has, and feeds the key back:
   * to a sink of states the new value stands for all that is parked before it.
   *
   * @throws VersionConflictError when somebody changed the key meanwhile; HeadwaterError PARKED_UNKNOWN, KEY_INVALID,
   * VALUE_INVALID, EVENTS_ONLY for a decider, WAIT_TIMEOUT when it is in the log and no worker has come to it
   */
  async edit<T>(
    collection: CollectionOf<T>,
    value: T,
    { expected, timeoutMs = 30_000, signal }: EditOptions = {},
  ): Promise<AppendResult & { readonly redrive: RedriveReport }> {
    const change = collection.put(value)
    const key: unknown = collection.keyOf(value)
    const name = { collection: collection.name, key: String(key) }
    const found = await this.#one(name)
    const copies = await this.#copies(found)
    const newest: Version | undefined = copies.at(-1)?.change.version
    const appended = await this.#log.append(change, { expected: expected ?? newest ?? 'any' })
    // It stands behind what is parked as soon as the worker has come to it.
    await this.#log.whenApplied(appended.position, {
      group: this.#group,
      timeoutMs,
      ...(signal && { signal }),
    })
    return { ...appended, redrive: await this.redrive({ ...name, timeoutMs, ...(signal && { signal }) }) }
  }

  /**
   * Gives up the first change of a parked key: the ones behind it stay parked, to be fed back without it.
   *
   * @param options `position` of that change, so that it is the one that was looked at
   * @throws HeadwaterError PARKED_UNKNOWN, also when another change is the first by now
   */
  async skip(name: ParkedName, options: { readonly position?: Position } = {}): Promise<{ left: number }> {
    const found = await this.#one(name)
    const copies = await this.#copies(found)
    const [first] = copies
    if (options.position !== undefined && first?.change.position !== options.position) {
      throw new HeadwaterError(
        'PARKED_UNKNOWN',
        `${nameOf(name)} has ${first?.change.position ?? 'nothing'} as its first parked change, not ${options.position}: look again.`,
      )
    }
    return { left: await this.#drop(found, first ? [first] : [], copies[1]) }
  }

  /**
   * Gives up all that is parked of what matches; what is appended to these keys afterwards goes to the sink again. The log
   * keeps its changes, so `repair` can still bring the sink the present value.
   *
   * @throws HeadwaterError OPTION_INVALID without a filter
   */
  async drop({ all = false, dryRun = false, onProgress, ...filter }: DropOptions): Promise<DropReport> {
    if (!all && Object.values(filter).every((given) => given === undefined)) {
      throw new HeadwaterError('OPTION_INVALID', 'drop needs to know what: a filter, or `all: true`.')
    }
    const selected = await this.#list.find(filter)
    const report = { dryRun, keys: selected.length, changes: 0 }
    for (const [at, found] of selected.entries()) {
      if (dryRun) report.changes += found.entry.changes
      else report.changes += await this.#dropAll(found)
      onProgress?.(at + 1, selected.length)
    }
    return report
  }

  async #dropAll(found: Found): Promise<number> {
    let changes = 0
    let current: Found | undefined = found
    for (let round = 0; current && round < roundsMax; round++) {
      const before = current.entry.changes
      const left = await this.#drop(current, await this.#copies(current), undefined)
      changes += Math.max(0, before - left)
      if (left === 0) return changes
      ;[current] = await this.#list.find(found.entry)
    }
    return changes
  }

  async #drop(
    { field, marker, entry: { partition } }: Found,
    copies: readonly ParkedCopy[],
    next: ParkedCopy | undefined,
  ): Promise<number> {
    const { connection, keys, deadlineMs } = this.#parts
    const options = { doing: `giving up what group ${this.#group} has parked`, deadlineMs }
    const ids = field.startsWith('#') ? [marker.from] : copies.map(({ id }) => id)
    const request = {
      field,
      ids,
      first: copies[0]?.change.stamp ?? marker.first,
      last: copies.at(-1)?.change.stamp ?? marker.last,
      left: firstLeft({ field, copies, next }),
    }
    const answer = await persist(connection, options, (client) =>
      drop(client, keys.partitions[partition]!, this.#group, request),
    )
    return answer.left
  }

  async #one(name: ParkedName): Promise<Found> {
    const [found] = await this.#list.find(name)
    if (found) return found
    throw new HeadwaterError(
      'PARKED_UNKNOWN',
      `Group ${this.#group} has nothing parked of ${nameOf(name)}. It may have been fed back meanwhile.`,
    )
  }

  async #copies({ field, marker, entry: { partition } }: Found): Promise<ParkedCopy[]> {
    const copies = await this.#list
      .store(partition)
      .copies(new Map([[field, marker]]), Number.POSITIVE_INFINITY)
    return copies.get(field)!
  }
}

function contentOf({ change }: ParkedCopy): ParkedChange {
  const { partition, stamp, version, kind, time, payload, metadata } = change
  return {
    position: formatPosition(partition, stamp),
    version,
    kind,
    time,
    value: parsed(payload),
    payload,
    metadata,
  }
}

function parsed(payload: string): unknown {
  try {
    return payload === '' ? undefined : (JSON.parse(payload) as unknown)
  } catch {
    return undefined
  }
}

function nameOf(name: ParkedName): string {
  return 'entry' in name ? `entry ${name.entry}` : `${name.collection}/${JSON.stringify(name.key)}`
}
