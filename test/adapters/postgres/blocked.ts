import type { Pool, PoolClient } from 'pg'
import { eventually } from '../../support/eventually.ts'

/** Waits until this many statements of sinks wait for a lock, and gives their backends' process ids. */
export function blockedBackends(pool: Pool, count: number): Promise<number[]> {
  return eventually(async () => {
    const { rows } = await pool.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '/* headwater */%'`,
    )
    if (rows.length !== count) throw new Error(`${rows.length} statements wait instead of ${count}.`)
    return rows.map(({ pid }) => pid)
  })
}

/** Runs SQL in a transaction, does something while its locks are held, and takes it all back. */
export async function whileHeld<R>(
  pool: Pool,
  sql: string,
  work: (holder: PoolClient) => Promise<R>,
): Promise<R> {
  const holder = await pool.connect()
  try {
    await holder.query(`BEGIN; ${sql}`)
    return await work(holder)
  } finally {
    await holder.query('ROLLBACK')
    holder.release()
  }
}
