// An application keeps users as hashes in Redis, and is left alone. Here they become rows in Postgres.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres, startRedis } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { Pool } from 'pg'
import { type Places, startPipeline } from './pipeline.ts'

const [source, logServer, postgres] = await Promise.all([
  startRedis({ own: true, config: { save: '3600 1' } }),
  startRedis({ own: true, config: { appendonly: 'yes' } }),
  startPostgres(),
])
const application = new Redis(source.options)
application.on('error', () => console.log('the application waits for its Redis'))
const pool = new Pool(postgres.connection)
const places: Places = {
  source: source.options,
  log: logServer.options,
  namespace: 'redis-to-postgres',
  pool,
  schema: postgres.schema,
  spool: await mkdtemp(join(tmpdir(), 'redis-to-postgres-')),
}

try {
  await application.hset('user:ada', { name: 'Ada', age: 36 })
  await application.hset('user:bob', { name: 'Bob', age: 41 })
  await application.set('session:1', 'nobody asked for this one')
  {
    await using pipeline = await startPipeline(places)
    await pipeline.caughtUp()
    await show('copied')

    await application.hincrby('user:ada', 'age', 1)
    await application.multi().del('user:bob').hset('user:eve', { name: 'Eve', age: 29 }).exec()
    await pipeline.caughtUp()
    await show('live')
  }

  // Nobody watches; then all of it is started again.
  await application.hincrby('user:eve', 'age', 1)
  await application.hset('user:fay', { name: 'Fay', age: 52 })
  application.disconnect()
  await Promise.all([source.restart(), logServer.restart()])
  await application.connect()
  await application.hset('user:gus', { name: 'Gus', age: 18 })
  await using pipeline = await startPipeline(places)
  const rows = await pipeline.caughtUp()
  await show('after restarts')
  console.log(`${rows} rows agree`)
} finally {
  application.disconnect()
  await pool.end()
  await Promise.all([source.stop(), logServer.stop(), postgres.stop()])
  await rm(places.spool, { recursive: true })
}

async function show(when: string): Promise<void> {
  const { rows } = await pool.query<{ name: string; age: number }>(
    `SELECT name, age FROM ${postgres.schema}.users ORDER BY name`,
  )
  console.log(`${when}: ${rows.map(({ name, age }) => `${name} ${age}`).join(', ')}`)
}
