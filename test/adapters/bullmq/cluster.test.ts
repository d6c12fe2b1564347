import { bullmqSink, jobIdOf } from '@headwater/bullmq'
import { changeBuilder, notes } from '@headwater/conformance'
import type { Change, Outcome } from '@headwater/core'
import { startCluster, type RedisCluster } from '@headwater/local-servers'
import { Queue } from 'bullmq'
import { Cluster } from 'ioredis'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { plainClient } from '../../support/plain-client.ts'

let cluster: RedisCluster
let client: Cluster
beforeAll(async () => {
  cluster = await startCluster()
  client = new Cluster([...cluster.addresses])
})
afterAll(async () => {
  client.disconnect()
  await cluster.stop()
})

it('changes become jobs once each while the slot of their queue moves to another node', async () => {
  const sink = bullmqSink({ client, collection: notes, queue: '{indexing}' })
  const queue = new Queue('{indexing}', { connection: client })
  const partition = await sink.open({
    lineage: 'log',
    group: 'jobs',
    partition: 0,
    fence: { epoch: 1, token: 1, owner: 'worker' },
  })
  const log = changeBuilder({ collection: notes })
  const changes: Change[] = []
  const moved = new AbortController()
  let refused = 0
  const applied = (async () => {
    for (let round = 0; !moved.signal.aborted || round < 20; round++) {
      const batch = Array.from({ length: 5 }, (_, at) => log.put({ id: `${at}`, content: round }))
      changes.push(...batch)
      const signal = new AbortController().signal
      const position = { epoch: 1, sequence: 0, branch: '' }
      for (let outcomes: readonly Outcome[] | undefined; !outcomes?.every(({ kind }) => kind !== 'retry');) {
        outcomes = await partition.apply(batch, position, { signal }).catch(() => undefined)
        refused += outcomes ? 0 : 1
      }
    }
  })()
  await moveSlot(await client.cluster('KEYSLOT', '{indexing}'))
  moved.abort()
  await applied
  expect(refused).toBeGreaterThan(0)
  const jobs = await queue.getJobs('waiting', 0, -1, true)
  expect(jobs.map(({ id }) => id)).toEqual(changes.map(jobIdOf))
  await sink.close()
  await queue.close()
})

/** Key by key, as redis-cli does it. */
async function moveSlot(slot: number): Promise<void> {
  await using nodes = nodesOf(cluster)
  const ids = await Promise.all(nodes.clients.map((node) => node.cluster('MYID')))
  const counts = await Promise.all(nodes.clients.map((node) => node.cluster('COUNTKEYSINSLOT', slot)))
  const from = counts.findIndex((count) => count > 0)
  const to = (from + 1) % nodes.clients.length
  const [source, target] = [nodes.clients[from]!, nodes.clients[to]!]
  await target.cluster('SETSLOT', slot, 'IMPORTING', ids[from]!)
  await source.cluster('SETSLOT', slot, 'MIGRATING', ids[to]!)
  for (;;) {
    const keys = await source.cluster('GETKEYSINSLOT', slot, 2)
    if (keys.length === 0) break
    await source.migrate('127.0.0.1', cluster.addresses[to]!.port, '', 0, 5_000, 'KEYS', ...keys)
  }
  for (const node of [target, source, ...nodes.clients]) await node.cluster('SETSLOT', slot, 'NODE', ids[to]!)
}

function nodesOf({ addresses }: RedisCluster): {
  readonly clients: readonly ReturnType<typeof plainClient>[]
} & AsyncDisposable {
  const clients = addresses.map((address) => plainClient(address))
  return {
    clients,
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.disconnect()
    },
  }
}
