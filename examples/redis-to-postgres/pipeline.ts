import { connect, startWorker, verify } from '@headwater/core'
import { postgresSink } from '@headwater/postgres'
import { startStateCapture } from '@headwater/redis'
import type { RedisOptions } from 'ioredis'
import type { Pool } from 'pg'
import { capturedUsers, users } from './users.ts'

/** Where everything is. */
export interface Places {
  /** The application's Redis, which knows nothing of this. */
  readonly source: RedisOptions
  readonly log: RedisOptions
  readonly namespace: string
  readonly pool: Pool
  readonly schema: string
  /** Of the capture: what has arrived and is not in the log yet. */
  readonly spool: string
}

/** A pipeline that runs. */
export interface Pipeline extends AsyncDisposable {
  /** Settles when the table has what the application's Redis had at the time of the call; gives how many rows agree. */
  caughtUp(): Promise<number>
}

/** From the application's Redis into the log, and from there into a table. In production: two processes, or ten. */
export async function startPipeline({
  source,
  log: server,
  namespace,
  pool,
  schema,
  spool,
}: Places): Promise<Pipeline> {
  const log = await connect(server, { namespace, collections: [users] })
  const reporting = postgresSink({ pool, collection: users, schema, table: 'users' })
  const worker = await startWorker(log, { groups: { reporting }, leaseMs: 2_000 })
  const capture = await startStateCapture(log, { from: source, collections: [capturedUsers], spool })
  return {
    async caughtUp() {
      await capture.caughtUp()
      // It gives what is still on its way the time to arrive.
      const report = await verify(log, reporting)
      if (!report.equal) throw new Error(`${report.differences.length} rows differ`)
      return report.checked
    },
    async [Symbol.asyncDispose]() {
      await capture.stop()
      await worker.stop()
      await log.close()
    },
  }
}
