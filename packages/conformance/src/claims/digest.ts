import assert from 'node:assert/strict'
import type { CellName, Change, DigestCell, DigestQuery } from '@headwater/core'
import { aBook, books } from '../books.ts'
import { changeBuilder } from '../change-builder.ts'
import type { SinkClaim } from '../sink-claim.ts'
import { plainRow, Trial } from '../trial.ts'

export const digestClaims: readonly SinkClaim[] = [
  {
    claim: 'sums up its live rows as a recount does, at every depth, whatever was applied before',
    concerns: ({ supports }) => supports.digest ?? false,
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const held = await fill(trial)
        let within: readonly CellName[] | undefined
        for (let depth = 0; depth <= 3; depth++) {
          const cells = await trial.sink.digest!({ depth, ...(within && { within }) })
          assert.deepEqual(sorted(cells), sorted(recount(held, { depth, ...(within && { within }) })))
          within = cells.filter((_cell, index) => index % 3 !== 2)
        }
        assert.deepEqual(await trial.sink.digest!({ depth: 1, within: [] }), [])
      }),
  },
  {
    claim: 'lists exactly the live rows of the cells that it is asked for',
    concerns: ({ supports }) => supports.digest ?? false,
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const held = await fill(trial)
        for (const depth of [0, 1, 2]) {
          const cells = recount(held, { depth }).filter((_cell, index) => index % 2 === 0)
          const listed = new Map<string, unknown>()
          for await (const row of trial.sink.listCells!({ depth, cells })) listed.set(row.key, plainRow(row))
          const names = new Set(cells.map(nameOf))
          const expected = held.filter((change) => names.has(nameOf(cellOf(change, depth))))
          assert.deepEqual(
            listed,
            new Map(
              expected.map(({ key, stamp, hash }) => [
                key,
                { key, deleted: false, stamp: { ...stamp }, hash },
              ]),
            ),
          )
        }
      }),
  },
]

/** Puts, updates, deletes and late deliveries in two partitions; gives the changes that are live in the end. */
async function fill(trial: Trial): Promise<Change[]> {
  const held: Change[] = []
  for (const partition of [0, 1]) {
    const log = changeBuilder({ collection: books, partition })
    const opened = await trial.open({ partition })
    const id = (index: number): string => `${'b'.repeat(1 + (index % 5))}-${partition}-${index}`
    const first = Array.from({ length: 120 }, (_, index) => log.put(aBook(id(index))))
    const second = Array.from({ length: 40 }, (_, index) => log.put(aBook(id(index), { pages: 2 })))
    const deletes = Array.from({ length: 20 }, (_, index) => log.delete(id(index + 30)))
    await trial.deliver(opened, second)
    await trial.deliver(opened, first)
    await trial.deliver(opened, deletes)
    const gone = new Set(deletes.map(({ key }) => key))
    const latest = new Map([...first, ...second].map((change) => [change.key, change]))
    held.push(...[...latest.values()].filter(({ key }) => !gone.has(key)))
  }
  return held
}

function cellOf({ partition, bucket, hash }: Change, depth: number): CellName {
  return { partition, bucket, low: Number(hash % 16n ** BigInt(depth)) }
}

function recount(changes: readonly Change[], { depth, within }: DigestQuery): DigestCell[] {
  const inside = within && new Set(within.map(nameOf))
  const cells = new Map<string, DigestCell>()
  for (const change of changes) {
    if (inside && !inside.has(nameOf(cellOf(change, depth - 1)))) continue
    const cell = cellOf(change, depth)
    const { count, sum } = cells.get(nameOf(cell)) ?? { count: 0, sum: 0n }
    cells.set(nameOf(cell), { ...cell, count: count + 1, sum: (sum + change.hash) % 2n ** 64n })
  }
  return [...cells.values()]
}

function nameOf({ partition, bucket, low }: CellName): string {
  return `${partition} ${bucket} ${low}`
}

function sorted(cells: readonly DigestCell[]): [string, number, bigint][] {
  return cells
    .map((cell): [string, number, bigint] => [nameOf(cell), cell.count, cell.sum])
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
}
