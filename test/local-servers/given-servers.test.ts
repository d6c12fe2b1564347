import {
  type OwnPostgresServer,
  type OwnRedisServer,
  startPostgres,
  startRedis,
} from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { startProgram } from './started-program.ts'

interface Said {
  readonly own: { readonly redis: boolean; readonly postgres: boolean; readonly specific: boolean }
  readonly prefix: string
  readonly schema: string
  readonly refusals: string[]
}

let redis: OwnRedisServer
let postgres: OwnPostgresServer
let keys: Redis
let tables: Client

beforeAll(async () => {
  ;[redis, postgres] = await Promise.all([
    startRedis({ own: true, port: true }),
    startPostgres({ own: true }),
  ])
  keys = new Redis(redis.options)
  tables = new Client(postgres.connection)
  await tables.connect()
  await keys.set('key of somebody else', 'stays')
  await tables.query('CREATE TABLE table_of_somebody_else ()')
})

afterAll(async () => {
  keys.disconnect()
  await tables.end()
  await Promise.all([redis.stop(), postgres.stop()])
})

async function contents() {
  const { rows } = await tables.query<{ name: string }>(
    "SELECT schemaname || '.' || tablename AS name FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema)' ORDER BY 1",
  )
  return { keys: (await keys.keys('*')).toSorted(), tables: rows.map(({ name }) => name) }
}

const OF_OTHERS = { keys: ['key of somebody else'], tables: ['public.table_of_somebody_else'] }

function startProgramOnGivenServers(how: string, redisUrl = redis.url) {
  const env = { ...process.env, REDIS_URL: redisUrl, DATABASE_URL: postgres.url }
  return startProgram<Said>('given-servers-process.ts', { args: [how], env })
}

describe('with REDIS_URL and DATABASE_URL', () => {
  it('servers are those, with a prefix and a schema that nobody else has, and take no signals', async () => {
    const program = await startProgramOnGivenServers('wait')
    const { own, prefix, schema, refusals } = program.said
    expect(own).toMatchObject({ redis: false, postgres: false })
    expect(await contents()).toEqual({
      keys: [`{app:${prefix}orders}:log`, ...OF_OTHERS.keys, `${prefix}plain`].toSorted(),
      tables: [`${schema}.by_connection`, `${schema}.by_url`, ...OF_OTHERS.tables].toSorted(),
    })
    expect(refusals).toEqual(['NOT_OURS', 'NOT_OURS', 'NOT_OURS', 'NOT_OURS'])
    program.process.kill()
    await eventually(async () => expect(await contents()).toEqual(OF_OTHERS))
  })

  it('stop drops what was made there, and nothing else', async () => {
    const program = await startProgramOnGivenServers('stop')
    await program.exited
    expect(await contents()).toEqual(OF_OTHERS)
  })

  it('what was made there is dropped when the program is killed', async () => {
    const program = await startProgramOnGivenServers('wait')
    program.process.kill('SIGKILL')
    await eventually(async () => expect(await contents()).toEqual(OF_OTHERS))
  })

  it('reaches a Redis on a Unix socket', async () => {
    const program = await startProgramOnGivenServers('stop', `unix://${redis.socketPath}`)
    expect(program.said.own.redis).toBe(false)
    await program.exited
    expect(await contents()).toEqual(OF_OTHERS)
  })

  it('a server of our own is started for those who insist on it', async () => {
    const program = await startProgram('starter-process.ts', {
      args: ['stop'],
      env: { ...process.env, REDIS_URL: redis.url, DATABASE_URL: postgres.url },
    })
    expect(program.said).toHaveProperty('redis.pid')
    expect(program.said).toHaveProperty('postgres.pid')
    await program.exited
  })

  it('a server of our own is started for options that the given one cannot follow', async () => {
    const program = await startProgramOnGivenServers('stop')
    expect(program.said.own.specific).toBe(true)
    await program.exited
  })
})
