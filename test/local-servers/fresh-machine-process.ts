// Starts one server of each kind with what this machine has, says how that went, and ends.
import { type LocalServerError, startPostgres, startRedis } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { Client } from 'pg'

async function outcome(attempt: () => Promise<string>): Promise<string> {
  try {
    return await attempt()
  } catch (error) {
    return (error as LocalServerError).message
  }
}

async function redisAnswer(): Promise<string> {
  await using server = await startRedis({ own: true })
  const client = new Redis(server.options)
  const info = await client.info('server')
  client.disconnect()
  return /^executable:(.*)$/m.exec(info)?.[1]?.trim() ?? 'no executable'
}

async function postgresAnswer(): Promise<string> {
  await using server = await startPostgres({ own: true })
  const client = new Client(server.connection)
  await client.connect()
  const { rows } = await client.query<{ answer: string }>("SELECT 'it answers' AS answer")
  await client.end()
  return rows[0]?.answer ?? 'no row'
}

const [redis, postgres] = await Promise.all([outcome(redisAnswer), outcome(postgresAnswer)])
process.stdout.write(`${JSON.stringify({ redis, postgres })}\n`)
