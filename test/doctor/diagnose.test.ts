import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import { connect, diagnose, memorySink, startWorker, type Diagnosis, type Finding } from '@headwater/core'
import { startPostgres, startRedis, type OwnRedisServer, type PostgresServer } from '@headwater/local-servers'
import { postgresSink } from '@headwater/postgres'
import { redisSink } from '@headwater/redis'
import { Redis, type RedisOptions } from 'ioredis'
import { Pool } from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { appendEach, openTestLog } from '../worker/test-log.ts'
import { commandName, commandsOf } from '../../packages/core/src/doctor/permissions.ts'
import { codeBlocks } from '../docs/code-blocks.ts'

let server: OwnRedisServer
let admin: Redis
let postgres: PostgresServer
let pool: Pool

beforeAll(async () => {
  ;[server, postgres] = await Promise.all([startRedis({ own: true }), startPostgres()])
  admin = new Redis(server.options)
  pool = new Pool(postgres.connection)
})

afterEach(async () => {
  await admin.config('SET', 'maxmemory-policy', 'noeviction')
  await admin.config('SET', 'maxmemory', '0')
})

afterAll(async () => {
  admin.disconnect()
  await pool.end()
  await Promise.all([server.stop(), postgres.stop()])
})

const of = ({ findings }: Diagnosis, check: string): readonly Finding[] =>
  findings.filter((finding) => finding.check === check)

describe('the doctor', () => {
  it('finds a sound log sound', async () => {
    await using log = await openTestLog(server.options)
    const diagnosis = await diagnose(log)
    expect(diagnosis.findings.filter(({ severity }) => severity === 'problem')).toEqual([])
    expect(diagnosis.findings.map(({ check, severity }) => `${check} ${severity}`)).toEqual(
      expect.arrayContaining([
        'version ok',
        'role ok',
        'eviction ok',
        'memory ok',
        'partitions ok',
        'clock ok',
      ]),
    )
  })

  it('names a policy that would evict keys of the log, and workers refuse to begin on it', async () => {
    await using log = await openTestLog(server.options)
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    expect(of(await diagnose(log), 'eviction')).toMatchObject([
      { severity: 'problem', remedy: expect.stringContaining('noeviction') as string },
    ])
    const starting = startWorker(log, { groups: { copy: memorySink({ collection: notes }) } })
    await expect(starting).rejects.toMatchObject({
      code: 'SERVER_UNSAFE',
      message: expect.stringContaining('allkeys-lru') as string,
    })
    expect(await log.groups()).toEqual([])
  })

  it('warns of little room, and calls no room a problem', async () => {
    await using log = await openTestLog(server.options)
    const used = Number(/used_memory:(\d+)/.exec(await admin.info('memory'))![1])
    await admin.config('SET', 'maxmemory', String(Math.round(used / 0.88)))
    expect(of(await diagnose(log), 'memory')).toMatchObject([{ severity: 'warning' }])
    await admin.config('SET', 'maxmemory', String(Math.round(used / 0.99)))
    expect(of(await diagnose(log), 'memory')).toMatchObject([{ severity: 'problem' }])
  })

  it('measures persistence and replicas by what the log declares', async () => {
    const config = { appendonly: 'yes', 'aof-load-truncated': 'no' }
    await using other = await startRedis({ own: true, config })
    const namespace = randomUUID()
    const declared = { namespace, collections: [notes], durability: 'replicated', replicas: 1 } as const
    await using log = await connect(other.options, declared)
    const before = await diagnose(log)
    expect(of(before, 'persistence')).toMatchObject([{ severity: 'ok' }])
    expect(of(before, 'replicas')).toMatchObject([{ severity: 'problem' }])
    await using client = disposable(new Redis(other.options))
    await client.config('SET', 'appendonly', 'no')
    expect(of(await diagnose(log), 'persistence')).toMatchObject([{ severity: 'problem' }])
  })

  it('warns of a server that answers before its disk has what the log calls safe there', async () => {
    const config = { appendonly: 'yes', 'aof-load-truncated': 'no' }
    await using other = await startRedis({ own: true, config })
    await using log = await connect(other.options, {
      namespace: randomUUID(),
      collections: [notes],
      durability: 'disk',
    })
    expect(of(await diagnose(log), 'persistence')).toMatchObject([
      { severity: 'warning', remedy: expect.stringContaining('appendfsync always') as string },
      { severity: 'ok' },
    ])
    await using client = disposable(new Redis(other.options))
    await client.config('SET', 'appendfsync', 'always')
    expect(of(await diagnose(log), 'persistence')).toMatchObject([{ severity: 'ok' }])
  })

  it('tells which partition is gone, and which group nobody works for', async () => {
    await using log = await openTestLog(server.options, { partitions: 2 })
    const worker = await startWorker(log, {
      groups: { copy: memorySink({ collection: notes }) },
      leaseMs: 300,
    })
    await worker.stop()
    await appendEach(log, [1, 2, 3], String)
    await eventually(async () =>
      expect(of(await diagnose(log), 'groups')).toMatchObject([
        { severity: 'problem', about: 'copy', message: expect.stringContaining('Nobody works on') as string },
      ]),
    )
    await admin.unlink(`headwater:{${log.namespace}:1}:header`)
    expect(of(await diagnose(log), 'partitions')).toMatchObject([
      {
        severity: 'problem',
        about: 'partition 1',
        message: expect.stringContaining('header is gone') as string,
      },
    ])
  })

  it('looks at sinks without opening them, and says what to do about those that are not ready', async () => {
    await using log = await openTestLog(server.options)
    const { schema } = postgres
    const nowhere = new Redis({ path: '/nowhere/redis.sock', retryStrategy: () => null, lazyConnect: true })
    nowhere.on('error', () => {})
    const sinks = {
      table: postgresSink({ pool, schema, table: 'not_there', collection: notes, layout: 'jsonb' }),
      cache: redisSink({ client: admin, collection: notes, key: 'note:{key}', prefix: randomUUID() }),
      away: redisSink({ client: nowhere, collection: notes, key: 'note:{key}' }),
      memory: memorySink({ collection: notes }),
    }
    const keysBefore = await admin.dbsize()
    const found = of(await diagnose(log, { sinks }), 'sinks')
    expect(Object.fromEntries(found.map(({ about, severity }) => [about, severity]))).toEqual({
      table: 'problem',
      cache: 'ok',
      away: 'problem',
      memory: 'unknown',
    })
    expect(found.find(({ about }) => about === 'table')!.message).toContain('CREATE TABLE')
    expect(await admin.dbsize()).toBe(keysBefore)
    const { rows } = await pool.query('SELECT FROM pg_tables WHERE schemaname = $1', [schema])
    expect(rows).toEqual([])
  })

  it('warns of a server that would load half a transaction', async () => {
    await using other = await startRedis({ own: true, config: { appendonly: 'yes' } })
    await using log = await openTestLog(other.options)
    expect(of(await diagnose(log), 'persistence')).toMatchObject([
      { severity: 'warning', remedy: expect.stringContaining('aof-load-truncated no') as string },
      { severity: 'ok' },
    ])
  })

  it('says what the user lacks, and asks for another user by name', async () => {
    await using log = await openTestLog(server.options)
    const name = randomUUID()
    const rules = ['on', 'nopass', `~headwater:{${log.namespace}:*`, '&*', '-@all', '+info', '+ping']
    await admin.call('ACL', 'SETUSER', name, ...rules)
    expect(of(await diagnose(log, { roles: ['application'] }), 'permissions')).toMatchObject([
      { severity: 'ok' },
    ])
    const [denied] = of(await diagnose(log, { user: name, roles: ['application'] }), 'permissions')
    expect(denied).toMatchObject({ severity: 'problem', about: name })
    expect(denied!.message).toMatch(/'hget'/)
    expect(denied!.message).not.toMatch(/'ping'/)
  })

  it('says what it could not look at, and finds the rest', async () => {
    const namespace = randomUUID()
    await using mine = await connect(server.options, { namespace, collections: [notes] })
    const rules = ['on', '>secret', '~*', '&*', '+@all', '-info', '-acl']
    await admin.call('ACL', 'SETUSER', namespace, ...rules)
    const limited: RedisOptions = { ...server.options, username: namespace, password: 'secret' }
    await using log = await connect(limited, { namespace, create: false })
    const diagnosis = await diagnose(log)
    expect(of(diagnosis, 'server')).toMatchObject([{ severity: 'unknown' }])
    expect(of(diagnosis, 'permissions')).toMatchObject([{ severity: 'unknown' }])
    expect(of(diagnosis, 'partitions')).toMatchObject([{ severity: 'ok' }])
    expect(mine.partitions).toBe(log.partitions)
  })

  it.each(['application', 'producer', 'viewer', 'worker', 'operator'] as const)(
    'asks for exactly the commands that docs/keys.md gives a user who is %s',
    (role) => {
      const { code } = codeBlocks('docs/keys.md').find(({ info }) => info === `acl=${role}`)!
      const documented = code.split(/\s+/).filter((rule) => rule.startsWith('+'))
      const asked = commandsOf[role].map((call) => `+${commandName(call)}`)
      expect(asked.toSorted()).toEqual(documented.toSorted())
    },
  )
})

function disposable(client: Redis): Redis & AsyncDisposable {
  return Object.assign(client, { [Symbol.asyncDispose]: async () => client.disconnect() })
}
