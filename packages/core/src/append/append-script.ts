import { HeadwaterError } from '../errors/headwater-error.ts'
import { writeLanes, type HashLanes } from '../change/content-hash.ts'
import type { AnyCollection, StateKept } from '../collection/collection.ts'
import { source as publishLua } from '../feed/publish.lua.ts'
import { source as epochLua } from '../namespace/epoch.lua.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import { script, type Script, type ScriptInput } from '../redis/script.ts'
import { source as memoryLimitLua } from '../retention/memory-limit.lua.ts'
import { source as appendLua } from './append.lua.ts'
import type { Operation, PreparedChange, PreparedRequest } from './prepared.ts'

/** The sources that make the append script, in their order. */
export const appendParts: readonly string[] = [epochLua, publishLua, memoryLimitLua, appendLua]
export const appendScript: Script = script('append', ...appendParts)

/** The most changes that one batch holds. */
export const batchChangesMax = 1_000
/** Digests and buckets are sent as one character each, from "!" to "~". */
export const collectionsMax = 90
const slotCharacter = (index: number): string => String.fromCharCode(33 + index)
const keptCharacters: Readonly<Record<StateKept, string>> = { values: 'v', versions: 'n', none: '-' }
/** Bytes of a head that the script copies as they are: see append.lua. */
const pieceBytes = 15
/** Batches are laid out one after another, so one place to put them together is enough. */
const scratch = Buffer.allocUnsafe(pieceBytes * batchChangesMax)

export interface AppendBatch {
  readonly producer: string
  readonly number: number
  readonly requests: readonly PreparedRequest[]
}

/** The changes of a batch whose heads are in one hash. */
interface Slot {
  readonly collection: AnyCollection
  readonly bucket: number
  readonly changes: PreparedChange[]
  /** Of each of them, its number in the batch, from 0. */
  readonly numbers: number[]
}

/** What a batch holds of one collection. */
interface CollectionSlots {
  readonly type: number
  /** By bucket. */
  readonly slots: (Slot | undefined)[]
  /** By key, the number of its last change so far. */
  readonly last: Map<string, number>
}

/** Lays a batch out as the script reads it; append.lua says what is where. */
export function encodeAppend(keys: PartitionKeys, batch: AppendBatch, resultsWindowMs: number): ScriptInput {
  const collections = new Map<AnyCollection, CollectionSlots>()
  const slots: Slot[] = []
  const metadata = new Map<string, number>()
  const traces = new Map<string, number>()
  const folded: string[] = []
  const entityKeys: string[] = []
  const payloads: string[] = []
  const pairs: (string | number)[] = []
  /** Numbers of changes whose key came before, each followed by the number of that earlier change. */
  const repeats: number[] = []
  let foldedAt = ''
  let operations = ''
  let expectations = ''
  let single = true

  for (let index = 0; index < batch.requests.length; index++) {
    const { changes, idempotencyField, metadata: json, trace } = batch.requests[index]!
    if (changes.length > 1) single = false
    if (idempotencyField !== undefined) pairs.push(index + 1, idempotencyField)
    if (json !== undefined) indexIn(metadata, json)
    if (trace !== undefined) indexIn(traces, trace)
    for (const change of changes) {
      const { collection, escapedKey, bucket, expectedCode } = change
      const number = entityKeys.push(escapedKey) - 1
      let of = collections.get(collection)
      if (of === undefined) {
        of = { type: collections.size, slots: [], last: new Map() }
        collections.set(collection, of)
      }
      let slot = of.slots[bucket]
      if (slot === undefined) slots.push((of.slots[bucket] = slot = openSlot(collection, bucket)))
      slot.changes.push(change)
      slot.numbers.push(number)
      const before = of.last.get(escapedKey)
      if (before !== undefined) repeats.push(number, before)
      of.last.set(escapedKey, number)
      operations += change.operation
      payloads.push(change.payload)
      if (change.folded !== undefined) {
        folded.push(change.folded)
        foldedAt += `${entityKeys.length} `
      }
      if (expectedCode !== undefined) expectations += `${entityKeys.length} ${expectedCode};`
    }
  }

  const layout = layOut(keys, slots, entityKeys.length)
  const { digests, headsKeys, valuesKeys, fields, places } = layout
  const args: (string | number)[] = [
    batch.producer,
    batch.number,
    entityKeys.length,
    single ? '' : batch.requests.map(({ changes }) => changes.length).join(' '),
    [...collections.keys()].map(({ name, schemaVersion }) => `${name}@${schemaVersion}`).join('\n'),
    collections.size > 1 ? ofEachChange(batch, (_, { collection }) => collections.get(collection)!.type) : '',
    operations,
    entityKeys.join('\n'),
    layout.table,
    layout.pieces,
    layout.sums,
    repeats.map((number) => `${places[number]} `).join(''),
    expectations,
    [...metadata.keys()].join('\n'),
    metadata.size > 0 ? ofEachChange(batch, ({ metadata: json }) => place(metadata, json)) : '',
    resultsWindowMs,
    payloads.join('\n'),
    [...traces.keys()].join('\n'),
    traces.size > 0 ? ofEachChange(batch, ({ trace }) => place(traces, trace)) : '',
    foldedAt,
  ]
  return {
    keys: [
      keys.header,
      keys.log,
      keys.producers,
      ...keys.results,
      ...digests.keys(),
      ...headsKeys,
      ...valuesKeys,
    ],
    args: args.concat(fields, folded, pairs),
  }
}

function openSlot(collection: AnyCollection, bucket: number): Slot {
  return { collection, bucket, changes: [], numbers: [] }
}

/** What stands in the order of slots. */
interface Layout {
  readonly digests: ReadonlyMap<string, number>
  readonly headsKeys: readonly string[]
  readonly valuesKeys: readonly string[]
  readonly table: string
  readonly pieces: string
  readonly sums: string
  /** For each slot the empty field, then its keys. */
  readonly fields: readonly string[]
  /** Of each change by its number: where it stands among all changes in the order of slots, from 1. */
  readonly places: readonly number[]
}

function layOut(keys: PartitionKeys, slots: readonly Slot[], changesCount: number): Layout {
  const digests = new Map<string, number>()
  const headsKeys: string[] = []
  const valuesKeys: string[] = []
  const fields: string[] = []
  const places = new Array<number>(changesCount)
  let table = ''
  let sums = ''
  let end = 0
  for (const { collection, bucket, changes, numbers } of slots) {
    const { name, state } = collection
    // Where nothing is kept there are no such keys: ones that are there stand in their places.
    const heads = state === 'none' ? keys.header : keys.heads(name, bucket)
    const digest = state === 'none' ? 0 : indexIn(digests, keys.digest(name))
    headsKeys.push(heads)
    valuesKeys.push(state === 'values' ? keys.values(name, bucket) : heads)
    table += slotCharacter(digest) + slotCharacter(bucket) + keptCharacters[state]
    table += String.fromCharCode(changes.length >>> 7, changes.length & 127)
    fields.push('')
    let high = 0
    let low = 0
    // Without `entries()`, which makes a pair for each change.
    for (let at = 0; at < changes.length; at++) {
      const { escapedKey, hash, operation } = changes[at]!
      const number = numbers[at]!
      fields.push(escapedKey)
      writePiece(end, number, hash, operation, collection.schemaVersion)
      end += pieceBytes
      places[number] = end / pieceBytes
      high += hash.high
      low += hash.low
    }
    sums += `${high} ${low} `
  }
  return {
    digests,
    headsKeys,
    valuesKeys,
    table,
    pieces: scratch.toString('latin1', 0, end),
    sums,
    fields,
    places,
  }
}

/** All of it in characters of seven bits, which UTF-8 leaves at a byte. */
function writePiece(
  at: number,
  number: number,
  hash: HashLanes,
  operation: Operation,
  schemaVersion: number,
): void {
  scratch[at] = number >>> 7
  scratch[at + 1] = number & 127
  writeLanes(scratch, at + 2, hash)
  scratch[at + 11] = operation.charCodeAt(0)
  scratch[at + 12] = schemaVersion >>> 14
  scratch[at + 13] = (schemaVersion >>> 7) & 127
  scratch[at + 14] = schemaVersion & 127
}

/** A number for each change of a batch, separated by spaces. */
function ofEachChange(
  { requests }: AppendBatch,
  of: (request: PreparedRequest, change: PreparedChange) => number,
): string {
  return requests.flatMap((request) => request.changes.map((change) => of(request, change))).join(' ')
}

/** From 1; 0 for none. */
function place(indexes: ReadonlyMap<string, number>, text: string | undefined): number {
  return text === undefined ? 0 : indexes.get(text)! + 1
}

function indexIn(indexes: Map<string, number>, name: string): number {
  let index = indexes.get(name)
  if (index === undefined) {
    index = indexes.size
    indexes.set(name, index)
  }
  return index
}

/** Where the changes of a request are in the log. */
interface Stored {
  readonly epoch: number
  /** Sequence of the first. */
  readonly first: number
  /** In their order. */
  readonly versions: readonly number[]
}

/** What became of one request of a batch. */
export type Verdict =
  | ({ readonly kind: 'stored' } & Stored)
  | ({ readonly kind: 'duplicate' } & Stored)
  | {
      readonly kind: 'conflict'
      readonly change: number
      readonly version: number
      readonly epoch: number
      readonly live: boolean
    }

/** Reads the script's answer: one verdict a request. The words are for the whole batch. */
export function parseAppendReply(
  reply: unknown,
  requests: readonly PreparedRequest[],
): readonly Verdict[] | 'missing' | 'superseded' | 'full' {
  if (reply === 'missing' || reply === 'superseded' || reply === 'full') return reply
  const [head = '', versionText = '', exceptionText = ''] = String(reply).split('|')
  const [epoch, first] = head.split(' ').map(Number)
  if (!epoch || !first)
    throw new HeadwaterError(
      'LOG_DAMAGED',
      `The append script answered ${JSON.stringify(String(reply).slice(0, 100))}.`,
    )
  const versions = versionText === '' ? [] : versionText.split(' ').map(Number)
  const exceptions = exceptionText === '' ? undefined : parseExceptions(exceptionText)
  let stored = 0
  let change = 0
  return requests.map(({ changes }, index) => {
    change += changes.length
    const exception = exceptions?.get(index + 1)
    if (exception) {
      return exception.kind === 'conflict'
        ? { ...exception, change: exception.change - 1 - (change - changes.length) }
        : exception
    }
    const verdict: Verdict = {
      kind: 'stored',
      epoch,
      first: first + stored,
      versions: versions.slice(stored, stored + changes.length),
    }
    stored += changes.length
    return verdict
  })
}

function parseExceptions(text: string): Map<number, Verdict> {
  const exceptions = new Map<number, Verdict>()
  for (const part of text.split(';')) {
    if (part === '') continue
    const [request, word, ...rest] = part.split(' ')
    if (word === 'duplicate') {
      exceptions.set(Number(request), parseStoredResult(rest.join(' ')))
    } else {
      const [change = 0, version = 0, epoch = 0, live = 0] = rest.map(Number)
      exceptions.set(Number(request), { kind: 'conflict', change, version, epoch, live: live === 1 })
    }
  }
  return exceptions
}

/** A remembered result: "epoch first version version …". */
export function parseStoredResult(text: string): Verdict & { kind: 'duplicate' } {
  const [epoch = 0, first = 0, ...versions] = text.split(' ').map(Number)
  return { kind: 'duplicate', epoch, first, versions }
}
