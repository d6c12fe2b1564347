import { isHeadwaterError, type SinkRow, type SinkValue } from '@headwater/core'
import type { DataKeys } from './data-keys.ts'
import { fromHashFields } from './hash-fields.ts'
import { source as listSource } from './list.lua.ts'
import { source as markSource } from './mark.lua.ts'
import { placePages } from './place-pages.ts'
import { source as readSource } from './read.lua.ts'
import { dataType, runScript, type RedisTarget, type ValueLayout } from './redis-target.ts'
import { listReply, textReply } from './reply.ts'
import { source as rowSource } from './row.lua.ts'
import { parseRow } from './row-record.ts'
import { script } from './script.ts'

const listScript = script(rowSource, listSource)
const readScript = script(rowSource, markSource, readSource)

/** About how many rows one call lists. */
const rowsPerPage = 500
/** How many keys one call reads. */
const keysPerRead = 100

/**
 * Every row of the bookkeeping. A row that is written meanwhile comes as it was or as it is; one may come twice when
 * Redis shrinks the hash meanwhile.
 */
export async function* listRows(
  target: RedisTarget,
  signal?: AbortSignal,
): AsyncGenerator<SinkRow, void, undefined> {
  for await (const records of placePages(target, listScript, [String(rowsPerPage)], signal)) {
    yield* records.map(parseRow).filter((row) => row !== undefined)
  }
}

/**
 * Rows with the values that stand in the user's own keys, each read in one step with its row. A live row whose data
 * key is gone, holds another type or no JSON has the value `undefined`, which no put ever stored; a tombstone whose
 * data key exists again has that key's value. Both are somebody else's doing.
 */
export async function readValues(
  target: RedisTarget,
  keys: readonly string[],
): Promise<readonly (SinkValue | undefined)[]> {
  const values = new Map<string, SinkValue>()
  for (const some of slices(keys, keysPerRead)) {
    const places = groupByPlace(target, some)
    const found = await Promise.all(
      Array.from(places, ([rowsKey, wanted]) => readPlace(target, rowsKey, wanted)),
    )
    for (const value of found.flat()) values.set(value.key, value)
  }
  return keys.map((key) => values.get(key))
}

/** Places with the data keys that are wanted there. */
function groupByPlace({ keys, dataKeys }: RedisTarget, entities: readonly string[]): Map<string, string[]> {
  const places = new Map<string, string[]>()
  for (const entity of entities) {
    const dataKey = dataKeyIfAny(dataKeys, entity)
    if (dataKey === undefined) continue
    const { rows } = keys.placeOf(dataKey)
    const place = places.get(rows)
    if (place) place.push(dataKey)
    else places.set(rows, [dataKey])
  }
  return places
}

/** An entity that cannot have a data key is one that the sink does not know. */
function dataKeyIfAny(dataKeys: DataKeys, entity: string): string | undefined {
  try {
    return dataKeys.of(entity)
  } catch (error) {
    if (isHeadwaterError(error, 'SINK_REJECTED')) return undefined
    throw error
  }
}

async function readPlace(
  target: RedisTarget,
  rowsKey: string,
  dataKeys: readonly string[],
): Promise<SinkValue[]> {
  const input = { keys: [rowsKey, ...dataKeys], args: [dataType(target.layout)] }
  const entries = listReply(await runScript(target, readScript, input)).map(textReply)
  return entries.flatMap(([record, mark = '', ...parts]) => {
    const row = record === undefined ? undefined : parseRow(record)
    return row ? [{ ...row, value: parseValue(target.layout, parts), mark }] : []
  })
}

function parseValue(layout: ValueLayout, parts: readonly string[]): unknown {
  const [first] = parts
  if (first === undefined) return undefined
  if (layout === 'hash') return fromHashFields(parts)
  try {
    return JSON.parse(first)
  } catch {
    return undefined
  }
}

function* slices<T>(items: readonly T[], size: number): Generator<readonly T[], void, undefined> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size)
}
