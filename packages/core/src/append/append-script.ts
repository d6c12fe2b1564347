import { HeadwaterError } from '../errors/headwater-error.ts'
import type { StateKept } from '../collection/collection.ts'
import { source as publishLua } from '../feed/publish.lua.ts'
import { source as epochLua } from '../namespace/epoch.lua.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import { script, type Script, type ScriptInput } from '../redis/script.ts'
import { source as appendLua } from './append.lua.ts'
import type { PreparedRequest } from './prepared.ts'

/** The sources that make the append script, in their order. */
export const appendParts: readonly string[] = [epochLua, publishLua, appendLua]
export const appendScript: Script = script('append', ...appendParts)

/** Slots are sent as one character each, from "!" to "~". */
export const slotsMax = 90
const slotCharacter = (index: number): string => String.fromCharCode(33 + index)
const keptCharacters: Readonly<Record<StateKept, string>> = { values: 'v', versions: 'n', none: '-' }
/** Three characters of seven bits each. */
const packVersion = (version: number): string =>
  String.fromCharCode(version >>> 14, (version >>> 7) & 127, version & 127)

export interface AppendBatch {
  readonly producer: string
  readonly number: number
  readonly requests: readonly PreparedRequest[]
}

/** Lays a batch out as the script reads it; append.lua says what is where. */
export function encodeAppend(keys: PartitionKeys, batch: AppendBatch, resultsWindowMs: number): ScriptInput {
  const types = new Map<string, number>()
  const digests = new Map<string, number>()
  const slots = new Map<string, number>()
  const slotKeys: string[] = []
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
  let slotOf = ''
  let slotTable = ''
  let hashes = ''
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
      const slotName = keys.state(collection.name, bucket)
      let slot = slots.get(slotName)
      if (slot === undefined) {
        slot = slots.size
        slots.set(slotName, slot)
        const kept = keptCharacters[collection.state]
        // Where nothing is kept there is no such key: one that is there stands in its place.
        slotKeys.push(kept === '-' ? keys.header : slotName)
        const digest = kept === '-' ? 0 : indexIn(digests, keys.digest(collection.name))
        slotTable +=
          slotCharacter(digest) + slotCharacter(bucket) + kept + packVersion(collection.schemaVersion)
      }
      if (collection.state === 'values') valuesKept = true
      slotOf += slotCharacter(slot)
      operations += operation
      hashes += hash
      entityKeys.push(escapedKey)
      payloads.push(payload)
      if (change.folded !== undefined) {
        folded.push(change.folded)
        foldedAt += `${entityKeys.length} `
      }
      if (expectedCode !== undefined) expectations += `${entityKeys.length} ${expectedCode};`
    }
  }

  return {
    keys: [keys.header, keys.log, keys.producers, ...keys.results, ...digests.keys(), ...slotKeys],
    args: [
      batch.producer,
      batch.number,
      entityKeys.length,
      single ? '' : sizes,
      [...types.keys()].join('\n'),
      types.size > 1 ? typeOf.join(' ') : '',
      operations,
      slotOf,
      slotTable,
      hashes,
      expectations,
      [...metadata.keys()].join('\n'),
      metadata.size > 0 ? metadataOf.join(' ') : '',
      resultsWindowMs,
      valuesKept ? 'each' : 'joined',
      [...traces.keys()].join('\n'),
      traces.size > 0 ? tracesOf.join(' ') : '',
      foldedAt,
      ...entityKeys,
      ...(valuesKept ? payloads : [payloads.join('\n')]),
      ...folded,
      ...pairs,
    ],
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

/** Reads the script's answer: one verdict a request. `missing` and `superseded` are words for the whole batch. */
export function parseAppendReply(
  reply: unknown,
  requests: readonly PreparedRequest[],
): readonly Verdict[] | 'missing' | 'superseded' {
  if (reply === 'missing' || reply === 'superseded') return reply
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
