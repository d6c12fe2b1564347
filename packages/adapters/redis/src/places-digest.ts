import {
  type CellName,
  type CellsQuery,
  type DigestCell,
  type DigestQuery,
  type PartitionSnapshot,
  type SinkRow,
} from '@headwater/core'
import { source as cellSource } from './cell.lua.ts'
import { source as listSource } from './list-place.lua.ts'
import { placePages } from './place-pages.ts'
import type { RedisTarget } from './redis-target.ts'
import { parseRow } from './row-record.ts'
import { source as rowSource } from './row.lua.ts'
import { script } from './script.ts'
import { source as sumSource } from './sum-place.lua.ts'

// Digests on a Cluster: the rows of each slot are summed up where they are, and the sums of all slots here. Nothing is
// kept for it, so it also shows what a node has lost.

const sumScript = script(cellSource, sumSource)
const listScript = script(rowSource, cellSource, listSource)

/** More rows than most slots have. */
const rowsPerPage = '2000'
/** The names go to every one of 16,384 places: with more of them it is cheaper to ask for all cells, and choose here. */
const namesWorthSending = 16

/** Sums up the rows of all places. */
export async function digestPlaces(
  target: RedisTarget,
  { depth, within, onRows }: DigestQuery,
  partition?: number,
): Promise<DigestCell[]> {
  if (within?.length === 0) return []
  const scope = scopeOf(within)
  const args = [rowsPerPage, String(depth), partition === undefined ? '' : String(partition), ...scope.sent]
  const cells = new Map<string, DigestCell>()
  for await (const texts of placePages(target, sumScript, args)) {
    let rows = 0
    for (const text of texts) {
      const [of = 0, bucket = 0, low = 0, count = 0, high = 0, rest = 0] = text.split(' ').map(Number)
      const name = { partition: of, bucket, low }
      rows += count
      if (!scope.has({ ...name, low: low % 16 ** (depth - 1) })) continue
      const id = nameOf(name)
      const held = cells.get(id)
      const sum = (BigInt(high) << 32n) + BigInt(rest) + (held?.sum ?? 0n)
      cells.set(id, { ...name, count: count + (held?.count ?? 0), sum: BigInt.asUintN(64, sum) })
    }
    onRows?.(rows)
  }
  return [...cells.values()]
}

/** The live rows in some cells. */
export async function* listPlacesCells(
  target: RedisTarget,
  { depth, cells }: CellsQuery,
): AsyncGenerator<SinkRow, void, undefined> {
  if (cells.length === 0) return
  const scope = scopeOf(cells)
  for await (const texts of placePages(target, listScript, [rowsPerPage, String(depth), ...scope.sent])) {
    for (let at = 0; at + 1 < texts.length; at += 2) {
      const [partition = 0, bucket = 0, low = 0] = texts[at]!.split(' ').map(Number)
      const row = scope.has({ partition, bucket, low }) && parseRow(texts[at + 1]!)
      if (row) yield row
    }
  }
}

/** The sums of a partition as its rows are: nothing of it may be applied before this resolves. */
export async function snapshotOfPlaces(target: RedisTarget, partition: number): Promise<PartitionSnapshot> {
  const cells = await digestPlaces(target, { depth: 0 }, partition)
  return { sums: Promise.resolve(new Map(cells.map(({ bucket, sum }) => [bucket, sum]))) }
}

interface Scope {
  /** The names that go along with the question; none to be told of all cells. */
  readonly sent: readonly string[]
  has(cell: CellName): boolean
}

function scopeOf(cells?: readonly CellName[]): Scope {
  if (!cells) return { sent: [], has: () => true }
  const names = new Set(cells.map(nameOf))
  return { sent: names.size > namesWorthSending ? [] : [...names], has: (cell) => names.has(nameOf(cell)) }
}

function nameOf({ partition, bucket, low }: CellName): string {
  return `${partition} ${bucket} ${low}`
}
