import type { AnyCollection } from '../collection/collection.ts'
import { upcast } from '../collection/upcast.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import { markerType, parseMarkerSums, type Marker } from '../proof/marker.ts'
import { isTooDeep } from './canonical-json.ts'
import type { Change, ChangeKind } from './change.ts'
import type { Hasher } from './content-hash.ts'
import { keyBytesMax, unescapeKey } from './key.ts'
import { formatPosition, type Position } from './position.ts'
import type { Stamp } from './stamp.ts'
import { formatVersion, parseVersion, type Version } from './version.ts'

/** An entry of a partition's stream, as ioredis gives it: its ID and its fields and values in turn. */
export type StreamEntry = readonly [id: string, fields: readonly string[] | null]

/** One entry of the log: changes that were appended together. */
export interface Batch {
  readonly partition: number
  /** The stream entry's ID: epoch and last sequence. */
  readonly id: string
  readonly epoch: number
  /** Sequence of the first and of the last change. */
  readonly first: number
  readonly last: number
  /** When Redis stored it, ms since 1970. */
  readonly time: number
  /** Characters of payload and keys: what it costs to hold it. */
  readonly size: number
  readonly changes: readonly Change[]
  /** Where the entry is a marker: then it holds no change, and takes one sequence all the same. */
  readonly marker?: Marker
}

/** What decoding needs to know of the log. */
export interface BatchContext {
  readonly hasher: Hasher
  /** A change whose key belongs to another one than that in which it stands is none of ours. */
  readonly partitions: number
  readonly buckets: number
  /** By name: how values of older schema versions are read. */
  readonly collections: ReadonlyMap<string, AnyCollection>
}

/**
 * Decodes a stream entry. Strict, because anybody with access to Redis can add entries.
 *
 * @throws HeadwaterError LOG_DAMAGED
 */
export function decodeBatch(partition: number, [id, fields]: StreamEntry, context: BatchContext): Batch {
  const stray = (why: string): never => {
    throw new HeadwaterError(
      'LOG_DAMAGED',
      `Entry ${id} of partition ${partition} is no batch of ours: ${why}.`,
    )
  }
  if (!fields) return stray('its fields are gone')
  const stamp = /^(\d{1,15})-(\d{1,15})$/.exec(id) ?? stray('its ID is not made of an epoch and a sequence')
  const epoch = Number(stamp[1])
  const last = Number(stamp[2])
  const field = new Map<string, string>()
  for (let at = 0; at + 1 < fields.length; at += 2) field.set(fields[at]!, fields[at + 1]!)
  const text = (name: string): string => field.get(name) ?? stray(`it has no field "${name}"`)
  const integer = (name: string): number => {
    const value = text(name)
    return /^\d{1,15}$/.test(value)
      ? Number(value)
      : stray(`its field "${name}" is ${JSON.stringify(value.slice(0, 40))}`)
  }

  const first = integer('first')
  const time = integer('time')
  const count = last - first + 1
  const operations = text('operations')
  /** One letter stands for all changes. */
  const alike = operations.length === 1
  const versions = text('versions').split(' ')
  const keys = text('keys').split('\n')
  const payloads = text('payloads').split('\n')
  if (text('types') === markerType) {
    const sums = parseMarkerSums(text('payloads'), context.buckets) ?? stray('its sums cannot be read')
    if (first !== last) stray('a marker takes one sequence')
    const marker: Marker = { partition, stamp: { epoch, sequence: last }, time, sums }
    return { partition, id, epoch, first, last, time, size: text('payloads').length, changes: [], marker }
  }
  const types = text('types')
    .split('\n')
    .map((line) => parseType(line, context) ?? stray(`its type is ${JSON.stringify(line.slice(0, 80))}`))
  const typeOf = field.get('type-of')?.split(' ')
  const metadata = field.get('metadata')?.split('\n')
  const metadataOf = field.get('metadata-of')?.split(' ')
  const traces = field.get('traces')?.split('\n')
  const tracesOf = field.get('traces-of')?.split(' ')
  for (const [name, length] of [
    ['operations', alike ? count : operations.length],
    ['versions', versions.length],
    ['keys', keys.length],
    ['payloads', payloads.length],
    ['type-of', typeOf?.length ?? count],
    ['metadata-of', metadataOf?.length ?? count],
    ['traces-of', tracesOf?.length ?? count],
  ] as const) {
    if (length !== count) stray(`it holds ${count} changes by its sequences, but ${length} by its "${name}"`)
  }

  let size = 0
  const changes = new Array<Change>(count)
  for (let at = 0; at < count; at++) {
    const operation = operations[alike ? 0 : at]!
    const kind = kinds[operation] ?? stray(`it has the operation ${JSON.stringify(operation)}`)
    const type = types[typeOf ? Number(typeOf[at]) : 0] ?? stray(`change ${at} is of no listed type`)
    const version = Number(versions[at])
    // Its text is compared because other texts make numbers too: 0x10, 1e3, 01.
    if (!Number.isSafeInteger(version) || version < 1 || String(version) !== versions[at])
      stray(`change ${at} has version ${quoted(versions[at])}`)
    if (keys[at] === '') stray(`change ${at} has no key`)
    const key = unescapeKey(keys[at]!)
    // Of the bytes of a key at least: sinks could not keep it either.
    if (key.length > keyBytesMax) stray(`change ${at} has a key of ${key.length} characters`)
    let bucket: number | undefined
    if (type.routedByKey) {
      const keyHash = context.hasher.key(key)
      if (keyHash % context.partitions !== partition)
        stray(`change ${at} has a key of partition ${keyHash % context.partitions}, ${quoted(key)}`)
      bucket = bucketOf(keyHash, context.buckets)
    }
    const metadataIndex = metadataOf ? Number(metadataOf[at]) : 0
    const payload = payloads[at]!
    if ((kind === 'delete') !== (payload === ''))
      stray(`change ${at} is ${kind === 'delete' ? 'a delete with' : `${aKind[kind]} without`} a payload`)
    const traceIndex = tracesOf ? Number(tracesOf[at]) : 0
    size += payload.length + keys[at]!.length
    changes[at] = new LogChange(
      context,
      partition,
      type,
      key,
      bucket,
      kind,
      epoch,
      first + at,
      version,
      time,
      payload,
      metadataIndex > 0 ? metadata?.[metadataIndex - 1] : undefined,
      traceIndex > 0 ? traces?.[traceIndex - 1] : undefined,
    )
  }
  return { partition, id, epoch, first, last, time, size, changes }
}

const kinds: Readonly<Record<string, ChangeKind | undefined>> = { p: 'put', d: 'delete', e: 'event' }
const aKind = { put: 'a put', event: 'an event' } as const

interface ChangeType {
  readonly collection: string
  readonly schemaVersion: number
}

interface ListedType extends ChangeType {
  /**
   * Whether the key alone tells the partition. Not asked is a partition key of the application's own: one that was altered by
   * mistake would set everything aside that was stored before.
   */
  readonly routedByKey: boolean
}

function parseType(line: string, { partitions, collections }: BatchContext): ListedType | undefined {
  const match = /^([a-z][a-z0-9_-]{0,47})@(\d{1,5})$/.exec(line)
  if (!match) return undefined
  const collection = match[1]!
  const known = partitions > 1 ? collections.get(collection) : undefined
  const routedByKey = known !== undefined && !known.partitionKey
  return { collection, schemaVersion: Number(match[2]), routedByKey }
}

const noMetadata: Readonly<Record<string, string>> = Object.freeze({})

/** Computes what costs something only when it is asked for. */
class LogChange implements Change {
  readonly key: string
  readonly kind: ChangeKind
  readonly partition: number
  readonly stamp: Stamp
  readonly time: number
  readonly payload: string
  readonly trace: string | undefined
  readonly #context: BatchContext
  readonly #type: ChangeType
  readonly #version: number
  readonly #metadata: string | undefined
  #bucket: number | undefined
  #value: unknown
  #hash: bigint | undefined

  constructor(
    context: BatchContext,
    partition: number,
    type: ChangeType,
    key: string,
    bucket: number | undefined,
    kind: ChangeKind,
    epoch: number,
    sequence: number,
    version: number,
    time: number,
    payload: string,
    metadata: string | undefined,
    trace: string | undefined,
  ) {
    this.key = key
    this.kind = kind
    this.partition = partition
    this.stamp = { epoch, sequence }
    this.time = time
    this.payload = payload
    this.trace = trace
    this.#context = context
    this.#type = type
    this.#version = version
    this.#metadata = metadata
    this.#bucket = bucket
  }

  get collection(): string {
    return this.#type.collection
  }

  get schemaVersion(): number {
    return this.#type.schemaVersion
  }

  get bucket(): number {
    this.#bucket ??= bucketOf(this.#context.hasher.key(this.key), this.#context.buckets)
    return this.#bucket
  }

  get position(): Position {
    return formatPosition(this.partition, this.stamp)
  }

  get version(): Version {
    return formatVersion(this.#version, this.stamp.epoch)
  }

  get value(): unknown {
    if (this.kind !== 'delete') this.#value ??= this.#read()
    return this.#value
  }

  get hash(): bigint {
    this.#hash ??= this.#context.hasher.content(
      this.collection,
      this.schemaVersion,
      this.kind,
      this.key,
      this.payload,
    )
    return this.#hash
  }

  #read(): unknown {
    const stored = parsePayload(this.payload, this.position)
    const collection = this.#context.collections.get(this.collection)
    return collection ? upcast(collection, this.kind, this.schemaVersion, stored) : stored
  }

  get metadata(): Readonly<Record<string, string>> {
    if (this.#metadata === undefined) return noMetadata
    return parseMetadata(this.#metadata)
  }
}

/** The parts of a change that was stored somewhere else than in a batch. */
export interface ChangeParts extends Pick<
  Change,
  'collection' | 'schemaVersion' | 'key' | 'kind' | 'partition' | 'stamp' | 'time' | 'payload' | 'trace'
> {
  readonly version: string
  /** As JSON. */
  readonly metadata: string
}

/** A change put together again, as if it had just been read from the log. */
export function restoreChange(context: BatchContext, parts: ChangeParts): Change {
  const { stamp, version, key, kind, partition, time, payload, metadata, trace } = parts
  return new LogChange(
    context,
    partition,
    parts,
    key,
    undefined,
    kind,
    stamp.epoch,
    stamp.sequence,
    parseVersion(version).number,
    time,
    payload,
    metadata,
    trace,
  )
}

/** The upper half of the key's hash, because the lower one decides the partition. */
export function bucketOf(keyHash: number, buckets: number): number {
  return (keyHash >>> 16) % buckets
}

/** None, where somebody else wrote what cannot be any: a change must not be held up by what only accompanies it. */
function parseMetadata(text: string): Readonly<Record<string, string>> {
  let metadata: unknown
  try {
    metadata = JSON.parse(text)
  } catch {
    return noMetadata
  }
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) return noMetadata
  const areTexts = Object.entries(metadata).every(
    ([name, value]) => typeof value === 'string' && name.isWellFormed() && value.isWellFormed(),
  )
  return areTexts ? (metadata as Readonly<Record<string, string>>) : noMetadata
}

/** @throws HeadwaterError CHANGE_UNREADABLE */
function parsePayload(text: string, position: Position): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new HeadwaterError('CHANGE_UNREADABLE', `The change at ${position} holds no JSON.`, {
      cause: error,
    })
  }
  if (!isTooDeep(text, value)) return value
  throw new HeadwaterError(
    'CHANGE_UNREADABLE',
    `The change at ${position} is nested deeper than any that was appended.`,
  )
}
