import type { PostgresConnection } from '@headwater/local-servers'
import { Client } from 'pg'
import { hold, type Deeds } from './deed.ts'

const endOthers =
  "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"

export const sinkDeeds: Deeds = {
  'kill the backends of the table': {
    run: ({ postgres }) => inDatabase(postgres.connection, endOthers),
  },
  'stop the cache for a while': {
    async run({ cache }, random) {
      await cache.kill('SIGSTOP')
      await hold(random, 100, 1_500)
      await cache.kill('SIGCONT')
    },
  },
  'fill the memory of the cache': {
    async run({ cacheClient }, random) {
      await cacheClient.config('SET', 'maxmemory', '1mb')
      await hold(random, 300, 1_500)
      await cacheClient.config('SET', 'maxmemory', '0')
    },
  },
  'kill the database': {
    async run({ postgres }) {
      await postgres.kill('SIGKILL')
      await postgres.restart()
    },
  },
  'end the database at once': {
    async run({ postgres }) {
      await postgres.kill('SIGQUIT')
      await postgres.restart()
    },
  },
  'allow only reading in the database': {
    async run({ postgres }, random) {
      const setting = `alter database "${postgres.connection.database}" set default_transaction_read_only`
      // Only new sessions heed it.
      const set = async (value: string): Promise<void> => {
        await inDatabase(postgres.connection, `${setting} = ${value}`)
        await inDatabase(postgres.connection, endOthers)
      }
      await set('on')
      await hold(random, 200, 1_000)
      await set('off')
    },
  },
  'lock the table': {
    async run({ postgres, log }, random) {
      const ms = random.between(200, 1_500)
      await inDatabase(
        postgres.connection,
        `begin; lock table "${postgres.schema}"."${log.namespace}" in exclusive mode; select pg_sleep(${ms / 1_000}); commit`,
      )
    },
  },
}

async function inDatabase(connection: PostgresConnection, text: string): Promise<void> {
  const client = new Client(connection)
  client.on('error', () => {})
  await client.connect()
  try {
    // Also where it is this very setting that is taken back.
    await client.query('set default_transaction_read_only = off')
    await client.query(text)
  } finally {
    await client.end()
  }
}
