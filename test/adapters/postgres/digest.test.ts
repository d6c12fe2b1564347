import { aBook, books } from '@headwater/conformance'
import type { CellName, DigestCell } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import type { PostgresClient } from '../../../packages/adapters/postgres/src/postgres-client.ts'
import { digestRows } from '../../../packages/adapters/postgres/src/postgres-digest.ts'
import { targetOf } from '../../../packages/adapters/postgres/src/postgres-schema.ts'
import { openDatabase, pool, schema } from './database.ts'
import { apply, openReplica } from './replica.ts'

openDatabase()

async function withClient<R>(work: (client: PostgresClient) => Promise<R>): Promise<R> {
  const client = await pool.connect()
  try {
    return await work(client)
  } finally {
    client.release()
  }
}

const inOrder = (cells: readonly DigestCell[]) =>
  cells
    .map(({ partition, bucket, low, count, sum }) => `${partition} ${bucket} ${low}: ${count} ${sum}`)
    .toSorted((a, b) => (a < b ? -1 : 1))

describe('the digest of a large table', () => {
  it('is summed up piece by piece, to the same cells, and tells how many rows it has seen', async () => {
    const { sink, table, log, partition } = await openReplica(pool, books, { schema })
    for (let from = 0; from < 1_000; from += 100) {
      const titles = Array.from({ length: 100 }, (_, at) => `book-${from + at}`)
      await apply(
        partition,
        titles.map((id) => log.put(aBook(id))),
      )
    }
    const target = targetOf({ schema, table, prefix: 'hw_', keyColumn: 'key', columns: [] })
    let within: readonly CellName[] | undefined
    for (let depth = 0; depth <= 2; depth++) {
      const query = { depth, ...(within && { within }) }
      const whole = await sink.digest!(query)
      const seen: number[] = []
      const onRows = (rows: number) => void seen.push(rows)
      const pieces = await digestRows(target, { ...query, onRows }, withClient, 3)
      expect(inOrder(pieces)).toEqual(inOrder(whole))
      expect(seen.length).toBeGreaterThan(5)
      const rows = whole.reduce((sum, { count }) => sum + count, 0)
      expect(seen.reduce((sum, some) => sum + some, 0)).toBe(rows)
      within = whole.filter((_cell, at) => at % 3 !== 0)
    }
  })
})
