import { connect, defineCollection, type HeadwaterError, type Log } from '@headwater/core'
import { startProxy, startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'

const products = defineCollection('products', {
  schema: z.object({ sku: z.string(), name: z.string() }),
  key: ({ sku }) => sku,
})
const put = (sku: string) => products.put({ sku, name: 'Lamp' })

describe('an append whose durability counts replicas', () => {
  let master: OwnRedisServer
  let replica: OwnRedisServer
  let redis: Redis
  let log: Log

  beforeEach(async () => {
    master = await startRedis({
      own: true,
      port: true,
      config: { appendonly: 'yes', 'repl-diskless-sync-delay': '0' },
    })
    replica = await startRedis({ own: true, port: true, config: { replicaof: `127.0.0.1 ${master.port}` } })
    redis = new Redis(master.options)
    await eventually(async () => expect(await redis.info('replication')).toMatch(/state=online/), {
      timeoutMs: 20_000,
    })
    log = await connect(master.url, {
      namespace: 'shop',
      collections: [products],
      durability: 'replicated',
      replicas: 1,
      attemptMs: 1_000,
      deadlineMs: 3_000,
    })
  })
  afterEach(async () => {
    await log.close()
    redis.disconnect()
    await replica.stop()
    await master.stop()
  })

  it('is acknowledged when the replica has it', async () => {
    const { position } = await log.append(put('lamp'))
    const copy = new Redis(replica.options)
    const partition = Number(position.split(':')[0])
    expect(await copy.xlen(`headwater:{shop:${partition}}:log`)).toBe(1)
    copy.disconnect()
  })

  it('is not acknowledged while the replica is away, and is stored once when it is tried again', async () => {
    await log.append(put('lamp'))
    await replica.kill('SIGSTOP')
    const refused = await log.append(put('desk'), { idempotencyKey: 'a' }).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'DURABILITY_NOT_REACHED', retryable: true })
    // Others, which ask for less, are not held up.
    await expect(log.append(put('chair'), { durability: 'memory' })).resolves.toMatchObject({ version: '1' })
    await replica.kill('SIGCONT')
    expect(await log.append(put('desk'), { idempotencyKey: 'a' })).toMatchObject({
      version: '1',
      duplicate: true,
    })
    expect(await log.get(products, 'desk')).toMatchObject({ version: '1' })
  })

  it('is not called refused when its master is demoted before the replicas are counted', async () => {
    await using proxy = await startProxy(master.options)
    await using through = await connect(
      { ...master.options, ...proxy.address },
      { namespace: 'shop', collections: [products], attemptMs: 1_500, deadlineMs: 2_000 },
    )
    await through.append(put('lamp'))
    let isCounting = false
    void proxy.loseRequest(({ command }) => {
      if (command === 'WAIT') {
        proxy.blackhole()
        isCounting = true
      }
      return false
    })
    const refused = through.append(put('desk')).catch((error: unknown) => error)
    await eventually(() => expect(isCounting).toBe(true))
    await redis.replicaof('127.0.0.1', replica.port!)
    proxy.heal()
    expect(await refused).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    await redis.replicaof('NO', 'ONE')
    expect(await log.get(products, 'desk')).toMatchObject({ version: '1' })
  })
})

it('a log that declares "disk" refuses a server without an append-only file', async () => {
  await using server = await startRedis({ own: true })
  await expect(connect(server.url, { namespace: 'shop', durability: 'disk' })).rejects.toMatchObject({
    code: 'DURABILITY_UNAVAILABLE',
  })
})

describe('an append that asks for more than its namespace declares', () => {
  it.each(['disk', 'replicated', 'all-replicas'] as const)(
    'is refused without an append-only file, with nothing stored, and taken once there is one: %s',
    async (durability) => {
      await using server = await startRedis({ own: true })
      const redis = new Redis(server.options)
      onTestFinished(() => redis.disconnect())
      await using log = await connect(server.url, {
        namespace: 'shop',
        collections: [products],
        partitions: 1,
        attemptMs: 200,
        deadlineMs: 500,
      })
      await log.append(put('lamp'))
      const before = await redis.call('DEBUG', 'DIGEST')
      const refusal = {
        code: 'DURABILITY_UNAVAILABLE',
        message: expect.stringContaining(`An append asks for durability "${durability}"`) as string,
      }
      const appends = [log.append(put('desk'), { durability }), log.append([put('chair')], { durability })]
      for (const append of appends) await expect(append).rejects.toMatchObject(refusal)
      expect(await redis.call('DEBUG', 'DIGEST')).toBe(before)
      // Whoever asks for no more than is declared is asked nothing.
      await log.append(put('shelf'), { durability: 'memory' })
      await redis.config('SET', 'appendonly', 'yes')
      // A server that is stopped while it makes the file takes seconds for it.
      await eventually(async () =>
        expect(await redis.info('persistence')).toMatch(/aof_rewrite_in_progress:0/),
      )
      const answer = await log.append(put('desk'), { durability }).then(
        () => 'stored',
        ({ code }: HeadwaterError) => code,
      )
      expect(answer).toBe(durability === 'disk' ? 'stored' : 'DURABILITY_NOT_REACHED')
      expect(await log.get(products, 'desk')).toMatchObject({ version: '1' })
    },
  )

  it('stores what it was handed in, in the order of the calls, and before the log is closed', async () => {
    await using server = await startRedis({ own: true, config: { appendonly: 'yes' } })
    const log = await connect(server.url, { namespace: 'shop', collections: [products], partitions: 1 })
    const lamp = { sku: 'lamp', name: 'Lamp 1' }
    const first = log.append(products.put(lamp), { durability: 'disk' })
    lamp.name = 'Lamp 2'
    const second = log.append(products.put(lamp), { durability: 'disk' })
    lamp.name = 'Lamp 3'
    await log.close()
    expect([(await first).version, (await second).version]).toEqual(['1', '2'])
    await using again = await connect(server.url, { namespace: 'shop', collections: [products] })
    const names: string[] = []
    for await (const { value } of again.history(products, 'lamp')) names.push(value!.name)
    expect(names.toSorted()).toEqual(['Lamp 1', 'Lamp 2'])
  })

  it('asks the server once', async () => {
    await using server = await startRedis({ own: true, config: { appendonly: 'yes' } })
    const redis = new Redis(server.options)
    onTestFinished(() => redis.disconnect())
    await using log = await connect(server.url, { namespace: 'shop', collections: [products] })
    const monitor = await redis.monitor()
    onTestFinished(() => monitor.disconnect())
    const seen: string[] = []
    monitor.on('monitor', (_: string, args: string[]) => seen.push(args.join(' ')))
    for (const sku of ['a', 'b', 'c']) await log.append(put(sku), { durability: 'disk' })
    await redis.ping('that is all')
    await eventually(() => expect(seen).toContain('ping that is all'))
    expect(seen.filter((command) => command === 'info persistence')).toHaveLength(1)
  })
})
