import {
  connect,
  defineCollection,
  memorySink,
  startWorker,
  type AppendResult,
  type Log,
} from '@headwater/core'
import { startCluster, startSentinel, type RedisCluster } from '@headwater/local-servers'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'
import { FollowedFeed } from './followed-feed.ts'

const products = defineCollection('products', {
  schema: z.object({ sku: z.string(), n: z.int() }),
  key: ({ sku }) => sku,
})

/** Appends until told to stop, a few at a time; what was acknowledged is the history. */
class Appending {
  readonly acknowledged: AppendResult[] = []
  readonly refused: unknown[] = []
  #n = 0
  #stopped = false
  readonly #running: Promise<void>

  constructor(log: Log) {
    this.#running = this.#run(log)
  }

  async #run(log: Log): Promise<void> {
    // Refusals that come at once would otherwise go on for ever.
    while (!this.#stopped && this.refused.length < 1_000) {
      const some = Array.from({ length: 20 }, () => {
        const n = this.#n++
        return log.append(products.put({ sku: `sku-${n % 300}`, n }), { durability: 'replicated' })
      })
      for (const outcome of await Promise.allSettled(some)) {
        if (outcome.status === 'fulfilled') this.acknowledged.push(outcome.value)
        else this.refused.push(outcome.reason)
      }
    }
  }

  /** Waits until `count` more were acknowledged than now. */
  async progress(count: number): Promise<void> {
    const from = this.acknowledged.length
    await eventually(() => expect(this.acknowledged.length).toBeGreaterThan(from + count), {
      timeoutMs: 20_000,
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }
}

/** The newest acknowledged version of each key must be what the log and the sink have, or be superseded by an unacknowledged one. */
async function expectNothingLost(
  log: Log,
  group: string,
  sink: { entries(): Map<string, { n: number }> },
  appending: Appending,
): Promise<void> {
  await eventually(
    async () =>
      expect((await log.groups()).every((status) => status.group !== group || status.lag === 0)).toBe(true),
    {
      timeoutMs: 60_000,
    },
  )
  const newest = new Map<string, number>()
  for (const { key, version } of appending.acknowledged) {
    newest.set(key, Math.max(newest.get(key) ?? 0, Number(version.split('@')[0])))
  }
  const entities = await log.getMany(products, [...newest.keys()])
  for (const entity of entities) {
    expect(Number(entity!.version.split('@')[0])).toBeGreaterThanOrEqual(newest.get(entity!.key)!)
    expect(sink.entries().get(entity!.key)).toEqual(entity!.value)
  }
  const positions = new Set(appending.acknowledged.map(({ position }) => position))
  expect(positions.size).toBe(appending.acknowledged.length)
}

async function promoted({ options }: { options: RedisOptions }): Promise<void> {
  const client = new Redis(options)
  await eventually(async () => expect(await client.info('replication')).toMatch(/role:master/), {
    timeoutMs: 20_000,
  })
  client.disconnect()
}

describe('a log on a Cluster', { timeout: 120_000 }, () => {
  let cluster: RedisCluster
  let log: Log
  let redis: Cluster

  beforeAll(async () => {
    cluster = await startCluster({
      masters: 3,
      replicasPerMaster: 1,
      nodeTimeoutMs: 1_500,
      config: { appendonly: 'yes' },
    })
    redis = new Cluster([...cluster.addresses])
    log = await connect(
      { nodes: cluster.addresses },
      { namespace: 'shop', collections: [products], replicas: 1, deadlineMs: 30_000, attemptMs: 1_000 },
    )
  })
  afterAll(async () => {
    await log.close()
    redis.disconnect()
    await cluster.stop()
  })

  it('spreads its partitions over the masters, each whole in one slot', async () => {
    const lengths = await Promise.all(
      cluster.masters.map(async (master) => {
        const client = new Redis(master.options)
        const keys = await client.keys('headwater:{shop:*:header')
        client.disconnect()
        return keys.length
      }),
    )
    expect(lengths.reduce((sum, count) => sum + count)).toBe(log.partitions)
    expect(lengths.filter((count) => count > 0).length).toBeGreaterThan(1)
  })

  it('goes on while a slot moves to another master under load', async () => {
    const sink = memorySink({ collection: products })
    await using worker = await startWorker(log, { groups: { moved: sink }, leaseMs: 4_000 })
    await using feed = new FollowedFeed(log, products)
    const appending = new Appending(log)
    await appending.progress(100)
    await moveSlotOf('headwater:{shop:0}:header')
    await appending.progress(200)
    await appending.stop()
    expect(appending.refused).toEqual([])
    await expectNothingLost(log, 'moved', sink, appending)
    await feed.expectWhole(log)
    expect(feed.refetched).toBe(0)
    await worker.stop()
  })

  it('follows a failover without a restart, and loses nothing that its replicas had acknowledged', async () => {
    const sink = memorySink({ collection: products })
    await using worker = await startWorker(log, { groups: { failed: sink }, leaseMs: 4_000 })
    await using feed = new FollowedFeed(log, products)
    const appending = new Appending(log)
    await appending.progress(100)
    const [master, replica] = [cluster.masters[1]!, cluster.replicas[1]!]
    await master.kill('SIGKILL')
    await promoted(replica)
    // Only with a replica of its own can the new master keep what "replicated" promises.
    await master.restart()
    await appending.progress(300)
    await appending.stop()
    expect(await redis.cluster('INFO')).toContain('cluster_state:ok')
    await expectNothingLost(log, 'failed', sink, appending)
    await feed.expectWhole(log)
    await worker.stop()
  })

  /** Key by key, as redis-cli's resharding does it. */
  async function moveSlotOf(key: string): Promise<void> {
    const slot = await redis.cluster('KEYSLOT', key)
    const nodes = cluster.masters.map((master) => ({ client: new Redis(master.options), ...master }))
    const ids = await Promise.all(nodes.map(({ client }) => client.cluster('MYID')))
    const from = (
      await Promise.all(nodes.map(({ client }) => client.cluster('COUNTKEYSINSLOT', slot)))
    ).findIndex((count) => count > 0)
    const to = (from + 1) % nodes.length
    await nodes[to]!.client.cluster('SETSLOT', slot, 'IMPORTING', ids[from]!)
    await nodes[from]!.client.cluster('SETSLOT', slot, 'MIGRATING', ids[to]!)
    for (;;) {
      const keys = await nodes[from]!.client.cluster('GETKEYSINSLOT', slot, 5)
      if (keys.length === 0) break
      await nodes[from]!.client.migrate('127.0.0.1', nodes[to]!.port, '', 0, 5_000, 'KEYS', ...keys)
    }
    for (const { client } of [nodes[to]!, nodes[from]!, ...nodes])
      await client.cluster('SETSLOT', slot, 'NODE', ids[to]!)
    for (const { client } of nodes) client.disconnect()
  }
})

describe('a log behind Sentinels', { timeout: 120_000 }, () => {
  it('follows a failover without a restart, opens a new epoch, and loses nothing that a replica had acknowledged', async () => {
    await using set = await startSentinel({
      replicas: 1,
      sentinels: 3,
      downAfterMs: 1_000,
      config: { appendonly: 'yes' },
    })
    await using log = await connect(set.options, {
      namespace: 'shop',
      collections: [products],
      replicas: 1,
      deadlineMs: 30_000,
      attemptMs: 1_000,
    })
    const sink = memorySink({ collection: products })
    await using worker = await startWorker(log, { groups: { cache: sink }, leaseMs: 4_000 })
    await using feed = new FollowedFeed(log, products)
    const appending = new Appending(log)
    await appending.progress(100)
    // With its only replica promoted, nothing could be replicated: what was asked for is given up with the master.
    const before = [...appending.acknowledged]
    await appending.stop()
    const master = await set.master()
    await master.kill('SIGKILL')
    const after = await eventually(
      async () => log.append(products.put({ sku: 'after', n: 1 }), { durability: 'memory' }),
      { timeoutMs: 60_000 },
    )
    expect(after.version).toMatch(/^1@\d+$/)
    expect(await log.whenApplied(after.position, { group: 'cache', timeoutMs: 30_000 })).toBe('applied')
    expect(before.length).toBeGreaterThan(100)
    await expectNothingLost(log, 'cache', sink, appending)
    await feed.expectWhole(log)
    await worker.stop()
  })
})
