import { EventEmitter, once } from 'node:events'
import { startCluster, type RedisCluster, type RedisMember } from '@headwater/local-servers'
import type { RedisClient } from '@headwater/redis'
import * as fc from 'fast-check'
import { Cluster, Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { apply, replica, words } from './replica.ts'

let cluster: RedisCluster
let client: Cluster

beforeAll(async () => {
  cluster = await startCluster()
  client = new Cluster(cluster.addresses, { retryDelayOnTryAgain: 1 })
})

afterAll(async () => {
  client.disconnect()
  await cluster.stop()
})

const put = { epoch: 1, sequence: 1, branch: 'a' }

/** A replica in which the first letter of a note's key chooses the slot: "a", "b" and "c" lie on different masters. */
function letteredReplica(redis: RedisClient = client) {
  const lettered = replica(redis)
  const dataKey = (id: string) => `${lettered.prefix}-data-{${id.slice(0, 1)}}:${id}`
  const sink = lettered.another({ key: dataKey })
  return { ...lettered, dataKey, sink, open: () => lettered.open({ sink }) }
}

async function masterOf(key: string): Promise<RedisMember> {
  const slot = await client.cluster('KEYSLOT', key)
  const index = [5_461, 10_922].filter((from) => slot >= from).length
  return cluster.masters[index]!
}

async function on<T>(member: RedisMember, work: (node: Redis) => Promise<T>): Promise<T> {
  const node = new Redis(member.options)
  try {
    return await work(node)
  } finally {
    node.disconnect()
  }
}

/** A client of another process: it stops before its nth script until it is told to go on. */
function pausingClient(nth: number): { client: RedisClient; paused: Promise<unknown>; goOn: () => void } {
  const gate = new EventEmitter()
  let scripts = 0
  return {
    client: {
      isCluster: true,
      options: {},
      async sendCommand(command) {
        if (++scripts >= nth) {
          const told = once(gate, 'go on')
          gate.emit('paused')
          await told
        }
        return client.sendCommand(command)
      },
    },
    paused: once(gate, 'paused'),
    goOn: () => gate.emit('go on'),
  }
}

describe('a replica on a Cluster', () => {
  it('declares that a batch is no transaction there', () => {
    expect(replica(client).sink.capabilities.transactions).toBe(false)
  })

  it('finds the slot of any key as the server does, also with odd braces', async () => {
    const { sink, log, open } = replica(client, { key: '{key}', prefix: 'sink:braces' })
    const partition = await open()
    const keys = fc.string({ unit: fc.constantFrom('{', '}', 'a', 'ä', '👍'), minLength: 1, maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(keys, { minLength: 1, maxLength: 10 }), async (ids) => {
        const outcomes = await apply(
          partition,
          ids.map((id) => log.put({ id, content: id })),
        )
        expect(words(outcomes)).toEqual(ids.map(() => 'applied'))
        expect((await sink.read?.(ids))?.map((row) => row?.value)).toEqual(
          ids.map((id) => ({ id, content: id })),
        )
      }),
      { numRuns: 100 },
    )
  })

  it('applies the changes of a slot in one script', async () => {
    const { log, open } = letteredReplica()
    const partition = await open()
    await apply(partition, [log.put({ id: 'a', content: 0 })])
    const master = await masterOf('a')
    await on(master, (node) => node.config('RESETSTAT'))
    const batch = Array.from({ length: 100 }, (_, index) => log.put({ id: `a${index}`, content: index }))
    expect(new Set(words(await apply(partition, batch)))).toEqual(new Set(['applied']))
    const stats = await on(master, (node) => node.info('commandstats'))
    expect(Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1])).toBeLessThanOrEqual(2)
  })

  it('does not let a node that is full hold up the others', async () => {
    const { sink, log, open } = letteredReplica()
    const partition = await open()
    const full = await masterOf('a')
    await on(full, (node) => node.config('SET', 'maxmemory', '1'))
    const batch = ['a', 'b', 'c'].map((id) => log.put({ id, content: 1 }))
    const inOrder = ['retry SINK_UNAVAILABLE', 'applied', 'applied']
    try {
      // The position is the first write, and gets in: the full node may hold it.
      expect(words(await apply(partition, batch, put))).toEqual(inOrder)
    } finally {
      await on(full, (node) => node.config('SET', 'maxmemory', '0'))
    }
    expect(await sink.read?.(['a', 'b'])).toMatchObject([undefined, { key: 'b' }])
    expect(words(await apply(partition, batch, put))).toEqual(['applied', 'stale', 'stale'])
  })

  it('waits out the move of a slot, leaves nothing half-applied, and follows the slot to its new node', async () => {
    const { sink, log, open, dataKey } = letteredReplica()
    const partition = await open()
    const slot = await client.cluster('KEYSLOT', 'm')
    const from = await masterOf('m')
    const to = cluster.masters.find((master) => master !== from)!
    const [fromId, toId] = await Promise.all(
      [from, to].map((member) => on(member, (node) => node.cluster('MYID'))),
    )
    await on(to, (node) => node.cluster('SETSLOT', slot, 'IMPORTING', fromId!))
    await on(from, (node) => node.cluster('SETSLOT', slot, 'MIGRATING', toId!))
    const batch = [log.put({ id: 'm1', content: 1 }), log.put({ id: 'a', content: 1 })]
    expect(words(await apply(partition, batch))).toEqual(['retry SINK_UNAVAILABLE', 'applied'])
    for (const member of cluster.masters) {
      await on(member, (node) => node.cluster('SETSLOT', slot, 'NODE', toId!))
    }
    expect(words(await apply(partition, batch))).toEqual(['applied', 'stale'])
    expect(await sink.read?.(['m1'])).toMatchObject([{ value: { id: 'm1', content: 1 } }])
    expect(await on(to, (node) => node.exists(dataKey('m1')))).toBe(1)
  })
})

describe('a worker on a Cluster that loses its partition', () => {
  it('is refused when it begins to apply afterwards, also in slots that the new owner has not touched', async () => {
    const { sink, log, open } = letteredReplica()
    const zombie = await open()
    await open()
    const late = apply(zombie, [log.put({ id: 'b', content: 'zombie' })])
    await expect(late).rejects.toMatchObject({ code: 'SINK_FENCED' })
    expect(await sink.read?.(['b'])).toEqual([undefined])
  })

  it('while it applies is refused by the slots that the new owner has written, and takes no key back', async () => {
    const { sink, log, open, another, dataKey } = letteredReplica()
    const pausing = pausingClient(3)
    const slowSink = another({ client: pausing.client, key: dataKey })
    const zombie = await slowSink.open({
      lineage: 'log-1',
      group: 'copy',
      partition: 0,
      fence: { epoch: 1, token: 0, owner: 'zombie' },
    })
    const ids = ['a1', 'a2', 'b1', 'b2', 'c']
    const older = ids.map((id) => log.put({ id, content: 'older' }))
    const applying = apply(zombie, older)
    await pausing.paused

    const owner = await open()
    const newer = [log.put({ id: 'a1', content: 'newer' }), log.delete('b1')]
    expect(words(await apply(owner, newer))).toEqual(['applied', 'applied'])
    pausing.goOn()
    await expect(applying).rejects.toMatchObject({ code: 'SINK_FENCED' })

    // The slots of a and b have seen the new fence, by a put and by a delete. c was let in, and is no older state.
    const contents = async () =>
      (await sink.read?.(ids))?.map((row) => (row?.value as { content?: string } | undefined)?.content)
    // It is told of the first refusal, when the slot of c may not have answered yet.
    await eventually(async () =>
      expect(await contents()).toEqual(['newer', undefined, undefined, undefined, 'older']),
    )
    expect(words(await apply(owner, older))).toEqual(['stale', 'applied', 'stale', 'applied', 'stale'])
    expect(await contents()).toEqual(['newer', 'older', undefined, 'older', 'older'])
  })
})
