import { randomUUID } from 'node:crypto'
import { aBook, books } from '@headwater/conformance'
import type { PostgresPool } from '@headwater/postgres'
import { type PoolClient } from 'pg'
import { describe, expect, it } from 'vitest'
import { blockedBackends } from './blocked.ts'
import { openDatabase, pool, schema } from './database.ts'
import { apply, errorOf, openReplica, remedyOf, replica, words } from './replica.ts'

openDatabase()

/** A pool of one connection on which a transaction is open: what a sink does there, nobody sees until it is committed. */
function uncommitted(client: PoolClient): PostgresPool {
  const session = {
    query: async (query: { text: string }) =>
      /BEGIN ISOLATION|COMMIT$/.test(query.text) ? { rows: [] } : client.query(query),
    release: () => {},
    on: () => {},
    off: () => {},
  }
  return { connect: async () => session, on: () => {}, listenerCount: () => 1 }
}

describe('two groups that share a table', () => {
  it.each([
    ['also when it has long been there', true],
    ['also when it is so new that a batch under way does not know it', false],
  ])('cannot bring back what the other deletes at the same moment, %s', async (_when, known) => {
    const { log, another, open, look } = await openReplica(pool, books, { schema })
    const left = await open({ group: 'left' })
    if (known) await open({ group: 'right' })
    const [put, change, deletion] = [
      log.put(aBook('atlas')),
      log.put(aBook('atlas', { pages: 1 })),
      log.delete('atlas'),
    ]
    await apply(left, [put])
    const holder = await pool.connect()
    try {
      await holder.query('BEGIN')
      const right = await open({ group: 'right', sink: another({ pool: uncommitted(holder) }) })
      expect(words(await apply(right, [deletion]))).toEqual(['applied'])
      // Begins while the key is there, and waits until it is gone.
      const applying = apply(left, [change])
      await blockedBackends(pool, 1)
      await holder.query('COMMIT')
      expect(words(await applying)).toEqual(['stale'])
      expect(await look('atlas')).toMatchObject({ deleted: true, stamp: deletion.stamp })
    } finally {
      holder.release(true)
    }
  })
})

describe('two logs that find the same empty table', () => {
  it('do not both get it', async () => {
    const { sink } = await prepared()
    const opening = { group: 'copy', partition: 0, fence: { epoch: 1, token: 1, owner: 'worker' } }
    const lineages = ['log-1', 'log-2', 'log-3', 'log-4']
    const opened = await Promise.allSettled(
      lineages.map((lineage, partition) => sink.open({ ...opening, lineage, partition })),
    )
    expect(opened.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const refused = opened.flatMap((result): unknown[] =>
      result.status === 'rejected' ? [result.reason] : [],
    )
    expect(refused).toMatchObject(Array.from({ length: 3 }, () => ({ code: 'SINK_MISCONFIGURED' })))
  })

  it('are told how to hand it over', async () => {
    const { sink, table } = await prepared()
    const opening = { group: 'copy', partition: 0, fence: { epoch: 9, token: 9, owner: 'worker' } }
    await sink.open({ ...opening, lineage: 'log-1' })
    const error = await errorOf(sink.open({ ...opening, lineage: 'log-2' }))
    expect(error.message).toContain(`"${table}" holds data of another log (log-1, not log-2)`)
    await pool.query(remedyOf(error))
    const partition = await sink.open({ ...opening, lineage: 'log-2' })
    expect(partition.position).toBeUndefined()
  })
})

async function prepared() {
  const made = replica(pool, books, { schema, table: `it's ${randomUUID()}` })
  await made.sink.prepare?.()
  return made
}
