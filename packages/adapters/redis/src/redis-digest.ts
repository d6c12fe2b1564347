import { randomUUID } from 'node:crypto'
import {
  HeadwaterError,
  type CellName,
  type CellsQuery,
  type DigestCell,
  type DigestQuery,
  type SinkRow,
} from '@headwater/core'
import { source as beginSource } from './begin-cells.lua.ts'
import { source as cellSource } from './cell.lua.ts'
import { source as collectSource } from './collect-cells.lua.ts'
import { source as listSource } from './list-cells.lua.ts'
import { runScript, type RedisTarget } from './redis-target.ts'
import { textReply } from './reply.ts'
import { parseRow } from './row-record.ts'
import { source as rowSource } from './row.lua.ts'
import { script } from './script.ts'
import { source as sumSource } from './sum-cells.lua.ts'

const beginScript = script(beginSource)
const sumScript = script(cellSource, sumSource)
const collectScript = script(collectSource)
const listScript = script(rowSource, cellSource, listSource)

/** About how many rows one script looks at: a few milliseconds. */
const rowsAtOnce = 8_000
const scratchMs = 60_000

/**
 * Sums up the rows where they are, page by page into a scratch key of a minute's life: so what travels are the cells, and
 * no script holds the server up. On one server only; on a Cluster the rows stand in thousands of places.
 */
export async function digestRows(
  target: RedisTarget,
  { depth, within, onRows }: DigestQuery,
): Promise<DigestCell[]> {
  if (within?.length === 0) return []
  const scratch = await begin(target, within)
  let cursor = '0'
  do {
    const input = { keys: [rowsKey(target), scratch], args: [cursor, ...pageArgs(depth)] }
    cursor = String(await runScript(target, sumScript, input))
    if (cursor === 'gone') throw gone(target)
    onRows?.(rowsAtOnce)
  } while (cursor !== '0')
  const fields = textReply(await runScript(target, collectScript, { keys: [scratch], args: [] }))
  if (fields.length === 0) throw gone(target)
  const cells: DigestCell[] = []
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name, sums] = [fields[at]!, fields[at + 1]!]
    if (name !== '') cells.push(cellOf(name, sums))
  }
  return cells
}

/** The live rows in some cells. One may come twice, as in `listRows`. */
export async function* listCellRows(
  target: RedisTarget,
  { depth, cells }: CellsQuery,
): AsyncGenerator<SinkRow, void, undefined> {
  if (cells.length === 0) return
  const scratch = await begin(target, cells)
  let cursor = '0'
  do {
    const input = { keys: [rowsKey(target), scratch], args: [cursor, ...pageArgs(depth)] }
    const [next = '0', ...records] = textReply(await runScript(target, listScript, input))
    if (next === 'gone') throw gone(target)
    yield* records.map(parseRow).filter((row) => row !== undefined)
    cursor = next
  } while (cursor !== '0')
  await runScript(target, collectScript, { keys: [scratch], args: [] })
}

async function begin(target: RedisTarget, cells: readonly CellName[] = []): Promise<string> {
  const scratch = target.keys.progress.replace(/progress$/, `scratch:${randomUUID()}`)
  const names = cells.map(({ partition, bucket, low }) => `${partition} ${bucket} ${low}`)
  await runScript(target, beginScript, { keys: [scratch], args: [String(scratchMs), ...names] })
  return scratch
}

function rowsKey({ keys }: RedisTarget): string {
  return keys.placeOf('').rows
}

function pageArgs(depth: number): string[] {
  return [String(rowsAtOnce), String(depth), String(scratchMs)]
}

function cellOf(name: string, sums: string): DigestCell {
  const [partition, bucket, low] = name.split(' ').map(Number)
  const [count, high = '', rest = ''] = sums.split(' ')
  const sum = BigInt.asUintN(64, (BigInt(high) << 32n) + BigInt(rest))
  return { partition: partition!, bucket: bucket!, low: low!, count: Number(count), sum }
}

function gone({ name }: RedisTarget): HeadwaterError {
  return new HeadwaterError(
    'SINK_UNAVAILABLE',
    `The ${name} lost a scratch key while their rows were summed up: the server restarted, or was too slow. Try again.`,
  )
}
