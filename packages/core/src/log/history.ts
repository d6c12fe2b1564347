import type { Batch } from '../change/batch.ts'
import type { Change } from '../change/change.ts'
import { parsePosition, type Position } from '../change/position.ts'
import { compareStamps, type Stamp } from '../change/stamp.ts'
import { parseVersion, type Version } from '../change/version.ts'
import type { AnyCollection, CollectionOf } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import type { Entity } from '../state/state-reader.ts'

/** A moment of one key: as of one of its versions, a time (ms since 1970 by the clock of the Redis server), or a position. */
export type Moment =
  | { readonly version: Version }
  | { readonly time: number | Date }
  | { readonly position: Position }

/** What looking back at a key needs of a log. */
export interface PastOfPartition {
  readonly partition: number
  /** Batches from the newest that holds changes at or before `upTo`, backwards. Default: from the end of the log. */
  readonly backwards: (upTo?: Stamp) => AsyncIterable<Batch>
  /** The stamp of the last change that was stored at or before this time; undefined where there is none. */
  readonly stampAt: (time: number) => Promise<Stamp | undefined>
  /** The first sequence that can be read: greater than 1 where retention has removed what was before. */
  readonly beginsAt: () => Promise<number>
}

/** The changes of one key among those of its partition, which all have to be read. */
export async function* historyOf(
  changes: AsyncIterable<Change>,
  collection: AnyCollection,
  key: string,
): AsyncGenerator<Change> {
  for await (const change of changes) {
    if (change.key === key && change.collection === collection.name) yield change
  }
}

/**
 * The value that a key had at a moment, or undefined where it was absent. The log is read backwards from there: to the
 * key's last change, or of a decider to its first event.
 *
 * @throws HeadwaterError HISTORY_TRIMMED, VERSION_INVALID, POSITION_INVALID
 */
export async function valueAt<T>(
  past: PastOfPartition,
  collection: CollectionOf<T>,
  key: string,
  moment: Moment,
): Promise<Entity<T> | undefined> {
  const upTo = await stampOf(past, moment)
  const lost = (begins: number): HeadwaterError =>
    new HeadwaterError(
      'HISTORY_TRIMMED',
      `What key ${JSON.stringify(key)} of ${collection.name} was then is not in the log any more: partition ${past.partition} begins at sequence ${begins}.`,
    )
  const checkBeginning = async (): Promise<void> => {
    const begins = await past.beginsAt()
    if (begins > 1) throw lost(begins)
  }
  if (upTo === 'before everything') {
    await checkBeginning()
    return undefined
  }
  const version = 'version' in moment ? moment.version : undefined
  const isAsked = (change: Change): boolean => version === undefined || change.version === version
  const events: Change[] = []
  let first: Batch | undefined
  for await (const batch of past.backwards(upTo)) {
    first = batch
    for (const change of batch.changes.toReversed()) {
      if (change.key !== key || change.collection !== collection.name) continue
      if (upTo && compareStamps(change.stamp, upTo) > 0) continue
      if (events.length === 0 && !isAsked(change)) {
        if (isBelow(change.version, version!)) throw unknownVersion(collection, key, version!, change.version)
        continue
      }
      if (!collection.decides)
        return change.kind === 'delete' ? undefined : entityOf(change, change.value as T)
      if (change.kind === 'delete') return fold(collection, events)
      events.push(change)
      if (parseVersion(change.version).number === 1) return fold(collection, events)
    }
  }
  if (!first) await checkBeginning()
  else if (first.first > 1) throw lost(first.first)
  if (version !== undefined) throw unknownVersion(collection, key, version, undefined)
  return undefined
}

/** In ms since 1970. @throws HeadwaterError OPTION_INVALID */
export function checkedTime(time: number | Date): number {
  const ms = time instanceof Date ? time.getTime() : time
  if (Number.isFinite(ms)) return ms
  throw new HeadwaterError(
    'OPTION_INVALID',
    `time ${quoted(time)} is no time: give a Date, or ms since 1970.`,
  )
}

async function stampOf(
  { partition, stampAt }: PastOfPartition,
  moment: Moment,
): Promise<Stamp | 'before everything' | undefined> {
  if (typeof moment !== 'object' || moment === null) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `${quoted(moment)} is no moment: give { version }, { time } or { position }.`,
    )
  }
  if ('time' in moment) return (await stampAt(checkedTime(moment.time))) ?? 'before everything'
  if ('version' in moment) {
    parseVersion(moment.version)
    return undefined
  }
  const { partition: asked, ...stamp } = parsePosition(moment.position)
  if (asked === partition) return stamp
  throw new HeadwaterError(
    'POSITION_INVALID',
    `Position ${moment.position} is of partition ${asked}, but the key is in partition ${partition}.`,
  )
}

/** @param events the newest first */
function fold<T>(collection: CollectionOf<T>, events: readonly Change[]): Entity<T> | undefined {
  const [newest] = events
  if (!newest) return undefined
  const decides = collection.decides!
  const oldestFirst = events.toReversed()
  const state = oldestFirst.reduce((state, { value }) => decides.evolve(state, value), decides.initial())
  return entityOf(newest, state as T)
}

function entityOf<T>({ key, version, position }: Change, value: T): Entity<T> {
  return { key, value, version, position }
}

function isBelow(version: Version, asked: Version): boolean {
  return parseVersion(version).number < parseVersion(asked).number
}

function unknownVersion(
  { name }: AnyCollection,
  key: string,
  version: Version,
  latest: Version | undefined,
): HeadwaterError {
  const has = latest === undefined ? 'has none' : `has ${latest} below it`
  return new HeadwaterError(
    'VERSION_INVALID',
    `Key ${JSON.stringify(key)} of ${name} has no version ${version} in the log's history; it ${has}.`,
  )
}
