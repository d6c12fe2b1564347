import { HeadwaterError } from '../errors/headwater-error.ts'
import { packLanes } from '../change/content-hash.ts'
import type { AnyCollection, StateKept } from '../collection/collection.ts'
import { source as publishLua } from '../feed/publish.lua.ts'
import { source as epochLua } from '../namespace/epoch.lua.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import { script, type Script, type ScriptInput } from '../redis/script.ts'
import { source as memoryLimitLua } from '../retention/memory-limit.lua.ts'
import { source as appendLua } from './append.lua.ts'
import type { PreparedRequest } from './prepared.ts'

/** The sources that make the append script, in their order. */
export const appendParts: readonly string[] = [epochLua, publishLua, memoryLimitLua, appendLua]
export const appendScript: Script = script('append', ...appendParts)

/** Slots are sent as one character each, from "!" to "~". */
export const slotsMax = 90
const slotCharacter = (index: number): string => String.fromCharCode(33 + index)
const keptCharacters: Readonly<Record<StateKept, string>> = { values: 'v', versions: 'n', none: '-' }
/** Numbers in characters of seven bits each, which UTF-8 leaves at a byte. */
const pack14 = (number: number): string => String.fromCharCode(number >>> 7, number & 127)
const pack21 = (number: number): string =>
  String.fromCharCode(number >>> 14, (number >>> 7) & 127, number & 127)

export interface AppendBatch {
  readonly producer: string
  readonly number: number
  readonly requests: readonly PreparedRequest[]
}

/** The changes of a batch whose heads are in one hash. */
interface Slot {
  readonly heads: string
  readonly values: string
  /** Digest, bucket, and what is kept. */
  readonly description: string
  /** The empty field, then a key for each change. */
  readonly keys: string[]
  pieces: string
  high: number
  low: number
  /** By key, its last change so far: its place among the changes of the slot. */
  readonly places: Map<string, number>
  /** Places of changes whose key came before, and the place where it did. */
  readonly repeats: number[]
}

/** Lays a batch out as the script reads it; append.lua says what is where. */
export function encodeAppend(keys: PartitionKeys, batch: AppendBatch, resultsWindowMs: number): ScriptInput {
  const types = new Map<string, number>()
  const digests = new Map<string, number>()
  const slots = new Map<string, Slot>()
  const metadata = new Map<string, number>()
  const typeOf: number[] = []
  const metadataOf: number[] = []
  const traces = new Map<string, number>()
  const tracesOf: number[] = []
  const folded: string[] = []
  let foldedAt = ''
  const entityKeys: string[] = []
  const payloads: string[] = []
  const pairs: (string | number)[] = []
  let sizes = ''
  let operations = ''
  let expectations = ''
  let valuesKept = false
  let single = true

  for (const [index, { changes, idempotencyField, metadata: json, trace }] of batch.requests.entries()) {
    sizes += `${changes.length} `
    if (changes.length > 1) single = false
    if (idempotencyField !== undefined) pairs.push(index + 1, idempotencyField)
    const metadataIndex = json === undefined ? 0 : indexIn(metadata, json) + 1
    const traceIndex = trace === undefined ? 0 : indexIn(traces, trace) + 1
    for (const change of changes) {
      const { collection, escapedKey, operation, payload, hash, bucket, expectedCode } = change
      typeOf.push(indexIn(types, `${collection.name}@${collection.schemaVersion}`))
      metadataOf.push(metadataIndex)
      tracesOf.push(traceIndex)
      const heads = keys.heads(collection.name, bucket)
      let slot = slots.get(heads)
      if (slot === undefined) slots.set(heads, (slot = openSlot(keys, collection, bucket, digests)))
      const place = slot.keys.push(escapedKey) - 1
      const before = slot.places.get(escapedKey)
      if (before !== undefined) slot.repeats.push(place, before)
      slot.places.set(escapedKey, place)
      slot.pieces +=
        pack14(entityKeys.length) + packLanes(hash) + operation + pack21(collection.schemaVersion)
      slot.high += hash.high
      slot.low += hash.low
      if (collection.state === 'values') valuesKept = true
      operations += operation
      entityKeys.push(escapedKey)
      payloads.push(payload)
      if (change.folded !== undefined) {
        folded.push(change.folded)
        foldedAt += `${entityKeys.length} `
      }
      if (expectedCode !== undefined) expectations += `${entityKeys.length} ${expectedCode};`
    }
  }

  const headsKeys: string[] = []
  const valuesKeys: string[] = []
  const slotFields: string[] = []
  let slotTable = ''
  let pieces = ''
  let sums = ''
  let repeats = ''
  for (const slot of slots.values()) {
    const first = slotFields.length - headsKeys.length
    for (let at = 0; at < slot.repeats.length; at += 2)
      repeats += `${first + slot.repeats[at]!} ${first + slot.repeats[at + 1]!} `
    headsKeys.push(slot.heads)
    valuesKeys.push(slot.values)
    slotTable += slot.description + pack14(slot.keys.length - 1)
    pieces += slot.pieces
    sums += `${slot.high} ${slot.low} `
    for (const field of slot.keys) slotFields.push(field)
  }

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
    args: [
      batch.producer,
      batch.number,
      entityKeys.length,
      single ? '' : sizes,
      [...types.keys()].join('\n'),
      types.size > 1 ? typeOf.join(' ') : '',
      operations,
      entityKeys.join('\n'),
      slotTable,
      pieces,
      sums,
      repeats,
      expectations,
      [...metadata.keys()].join('\n'),
      metadata.size > 0 ? metadataOf.join(' ') : '',
      resultsWindowMs,
      valuesKept ? 'each' : 'joined',
      [...traces.keys()].join('\n'),
      traces.size > 0 ? tracesOf.join(' ') : '',
      foldedAt,
      ...slotFields,
      ...(valuesKept ? payloads : [payloads.join('\n')]),
      ...folded,
      ...pairs,
    ],
  }
}

function openSlot(
  keys: PartitionKeys,
  { name, state }: AnyCollection,
  bucket: number,
  digests: Map<string, number>,
): Slot {
  // Where nothing is kept there are no such keys: ones that are there stand in their places.
  const heads = state === 'none' ? keys.header : keys.heads(name, bucket)
  const digest = state === 'none' ? 0 : indexIn(digests, keys.digest(name))
  return {
    heads,
    values: state === 'values' ? keys.values(name, bucket) : heads,
    description: slotCharacter(digest) + slotCharacter(bucket) + keptCharacters[state],
    keys: [''],
    pieces: '',
    high: 0,
    low: 0,
    places: new Map(),
    repeats: [],
  }
}

function indexIn(indexes: Map<string, number>, name: string): number {
  let index = indexes.get(name)
  if (index === undefined) {
    index = indexes.size
    indexes.set(name, index)
  }
  return index
}

/** What became of one request of a batch. */
export type Verdict =
  | {
      readonly kind: 'stored'
      readonly epoch: number
      readonly first: number
      readonly versions: readonly number[]
    }
  | {
      readonly kind: 'duplicate'
      readonly epoch: number
      readonly first: number
      readonly versions: readonly number[]
    }
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
