import { connect, defineCollection } from '@headwater/core'
import { startCluster, type RedisCluster } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'
import { Oracle, Witness } from './witness.ts'

const things = defineCollection('things', {
  schema: z.object({ id: z.string(), n: z.int() }),
  key: ({ id }) => id,
})

let cluster: RedisCluster
let masters: Redis[]

beforeAll(async () => {
  cluster = await startCluster()
  masters = cluster.addresses.map(({ host, port }) => new Redis({ host, port, protocol: 2 }))
})

afterAll(async () => {
  for (const master of masters) master.disconnect()
  await cluster.stop()
})

/** How many channels each master has subscribers of, and how often it read from a log. */
async function workOf(master: Redis): Promise<{ channels: number; reads: number }> {
  const channels = (await master.call('PUBSUB', 'SHARDCHANNELS')) as string[]
  const reads = /cmdstat_xrange:calls=(\d+)/.exec(await master.info('commandstats'))?.[1] ?? '0'
  return { channels: channels.length, reads: Number(reads) }
}

describe('a feed of a log on a Cluster', () => {
  it('hears each partition at the master of its slot, and misses nothing when these connections are killed', async () => {
    await using log = await connect(
      { nodes: cluster.addresses },
      { namespace: 'spread', collections: [things], partitions: 12 },
    )
    await using feed = log.feed(things)
    const witness = new Witness()
    const watching = (async () => {
      for await (const change of feed) witness.see(change)
    })()
    await feed.started
    await eventually(async () => {
      const channels = (await Promise.all(masters.map(workOf))).map((work) => work.channels)
      expect(channels.every((count) => count > 0)).toBe(true)
      expect(channels.reduce((sum, count) => sum + count)).toBe(12)
    })
    const append = (count: number, n: number) =>
      Promise.all(Array.from({ length: count }, (_, at) => log.append(things.put({ id: `k${at}`, n }))))

    const readsBefore = (await Promise.all(masters.map(workOf))).map(({ reads }) => reads)
    await append(100, 0)
    await eventually(() => expect(witness.count).toBe(100))
    expect((await Promise.all(masters.map(workOf))).map(({ reads }) => reads)).toEqual(readsBefore)

    for (let round = 1; round <= 10; round++) {
      const appending = append(100, round)
      await masters[round % 3]!.client('KILL', 'TYPE', 'PUBSUB')
      await appending
    }
    const oracle = await Oracle.read(log)
    await eventually(() => expect(witness.isComplete(oracle, false)).toBe(true))
    expect(witness.judge(oracle, false)).toBeUndefined()
    feed.close()
    await watching
  })
})
