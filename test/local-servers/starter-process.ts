// Starts servers, says which, and then waits to be killed, or ends as its argument says.
import { startPostgres, startRedis } from '@headwater/local-servers'

const [redis, postgres] = await Promise.all([
  startRedis({ own: true, port: true }),
  startPostgres({ own: true }),
])
process.stdout.write(
  `${JSON.stringify({ redis: { pid: redis.pid, dir: redis.dir }, postgres: { pid: postgres.pid, dir: postgres.dir } })}\n`,
)
const how = process.argv[2]
if (how === 'wait') setInterval(() => {}, 60_000)
if (how === 'throw') throw new Error('The starter fails.')
if (how === 'stop') await Promise.all([redis.stop(), postgres.stop()])
