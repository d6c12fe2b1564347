import { connect, defineCollection, type Feed, type Log } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { Oracle, Witness } from './witness.ts'

const things = defineCollection('things', {
  schema: z.object({ id: z.string(), n: z.int() }),
  key: ({ id }) => id,
})

startOwnRedis({ protocol: 2 })

/** Reads a feed to its end, slower or faster. */
async function watch(feed: Feed, witness: Witness, pauseEvery: number): Promise<void> {
  for await (const change of feed) {
    witness.see(change)
    if (witness.count % pauseEvery === 0) await new Promise((resolve) => setImmediate(resolve))
  }
}

async function connectionsOf(namespace: string, purpose: string): Promise<string[]> {
  const list = String(await client.client('LIST'))
  return list
    .split('\n')
    .filter((line) => line.includes(`name=headwater:${namespace}:${purpose} `))
    .map((line) => /id=(\d+)/.exec(line)![1]!)
}

async function kill(namespace: string, purpose: string): Promise<void> {
  for (const id of await connectionsOf(namespace, purpose)) await client.client('KILL', 'ID', id)
}

describe('a thousand subscribers of one process', () => {
  it('each see every change once and in order, while their connections are killed under load', async () => {
    const namespace = 'thousand'
    await using log = await connect(server.options, { namespace, collections: [things], partitions: 4 })
    await using writer = await connect(server.options, { namespace, collections: [things] })
    const early = Array.from({ length: 900 }, () => follow(log, 'now'))
    await Promise.all(early.map(({ feed }) => feed.started))
    expect(await connectionsOf(namespace, 'feed')).toHaveLength(1)

    const late: ReturnType<typeof follow>[] = []
    let kills = 0
    for (let round = 0; round < 40; round++) {
      const appending = Promise.all(
        Array.from({ length: 50 }, (_, n) => {
          const id = `k${(round * 7 + n) % 120}`
          return writer.append(n % 9 === 8 ? things.delete(id) : things.put({ id, n: round }))
        }),
      )
      if (round % 4 === 1) {
        kills++
        await kill(namespace, round % 8 === 1 ? 'feed' : 'feed-reads')
      }
      if (round >= 10 && round < 30) {
        for (let n = 0; n < 5; n++) late.push(follow(log, n % 2 ? 'snapshot' : 'beginning'))
      }
      await appending
    }
    expect(kills).toBe(10)
    const oracle = await Oracle.read(log)
    expect(oracle.places.size).toBe(2_000)

    const everybody = [...early, ...late]
    expect(everybody).toHaveLength(1_000)
    await eventually(() => {
      const incomplete = everybody.filter(
        ({ witness, from }) => !witness.isComplete(oracle, from === 'snapshot'),
      )
      expect(incomplete).toHaveLength(0)
    })
    const faults = everybody.map(({ witness, from }) => witness.judge(oracle, from === 'snapshot'))
    expect(faults.filter((fault) => fault !== undefined)).toEqual([])
    for (const { feed } of everybody) feed.close()
    await Promise.all(everybody.map(({ ended }) => ended))
  }, 60_000)
})

describe('pub/sub that loses its last message before a silence', () => {
  it('is made up for within about a second', async () => {
    const namespace = 'silence'
    await using log = await connect(server.options, { namespace, collections: [things], partitions: 1 })
    const { feed, witness } = follow(log, 'now')
    await feed.started
    // The script cannot publish: nobody hears of the change.
    await client.acl('SETUSER', 'default', '-pubsub', '-spublish', '-publish')
    try {
      await log.append(things.put({ id: 'a', n: 1 }))
    } finally {
      await client.acl('SETUSER', 'default', '+@all')
    }
    await eventually(() => expect(witness.count).toBe(1), { timeoutMs: 3_000 })
    feed.close()
  })
})

function follow(log: Log, from: 'now' | 'snapshot' | 'beginning') {
  const witness = new Witness()
  const buffer = 1 + Math.floor(Math.random() * 400)
  const feed = log.feed(things, { from, buffer })
  const ended = watch(feed, witness, 1 + Math.floor(Math.random() * 50))
  // Awaited at the end; until then a failed test must not be followed by a thousand more messages.
  ended.catch(() => {})
  return { from, feed, witness, ended }
}
