// Works on the servers of REDIS_URL and DATABASE_URL: makes a key and a table, says where, then does as it is told.
import { startPostgres, startRedis } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { Client } from 'pg'

const [redis, postgres, specific] = await Promise.all([
  startRedis(),
  startPostgres(),
  startRedis({ port: true }),
])

const byUrl = new Redis(redis.url)
await byUrl.set(`{app:${redis.namespacePrefix}orders}:log`, 'by url')
byUrl.disconnect()
const byOptions = new Redis(redis.options)
await byOptions.set(`${redis.namespacePrefix}plain`, 'by options')
byOptions.disconnect()

for (const [table, address] of [
  ['by_url', postgres.url],
  ['by_connection', postgres.connection],
] as const) {
  const client = new Client(address)
  await client.connect()
  await client.query(`CREATE TABLE ${table} ()`)
  await client.end()
}

const refusals = await Promise.allSettled([
  redis.kill('SIGKILL'),
  redis.restart(),
  postgres.kill('SIGKILL'),
  postgres.restart(),
])
process.stdout.write(
  `${JSON.stringify({
    own: { redis: redis.own, postgres: postgres.own, specific: specific.own },
    prefix: redis.namespacePrefix,
    schema: postgres.schema,
    refusals: refusals.map((refusal) =>
      refusal.status === 'rejected' ? (refusal.reason as { code: string }).code : 'done',
    ),
  })}\n`,
)

if (process.argv[2] === 'wait') setInterval(() => {}, 60_000)
if (process.argv[2] === 'stop') await Promise.all([redis.stop(), postgres.stop(), specific.stop()])
