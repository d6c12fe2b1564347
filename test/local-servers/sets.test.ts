import { type RedisMember, startCluster, startSentinel } from '@headwater/local-servers'
import { Cluster, Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { isRunning } from '../support/process-tree.ts'

async function ask<T>({ options }: RedisMember, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(options)
  client.on('error', () => {})
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}

describe('a Cluster', () => {
  it('is complete for every node when it has started, and ends with all nodes', async () => {
    const cluster = await startCluster({ masters: 3, replicasPerMaster: 1 })
    const nodes = [...cluster.masters, ...cluster.replicas]
    expect(nodes).toHaveLength(6)
    expect(cluster.addresses).toEqual(nodes.map(({ host, port }) => ({ host, port })))
    for (const node of nodes) {
      expect(await ask(node, (client) => client.cluster('INFO'))).toContain('cluster_state:ok')
    }
    const client = new Cluster(cluster.addresses)
    const keys = Array.from({ length: 50 }, (_, index) => `key ${index}`)
    await Promise.all(keys.map((key) => client.set(key, key)))
    expect(await Promise.all(keys.map((key) => client.get(key)))).toEqual(keys)
    client.disconnect()
    await cluster.stop()
    expect(nodes.map(({ pid }) => pid).filter(isRunning)).toEqual([])
  })

  it('makes a replica the master of the slots of a master that is killed', async () => {
    await using cluster = await startCluster({ masters: 3, replicasPerMaster: 1, nodeTimeoutMs: 500 })
    const [, master] = cluster.masters
    const [, replica] = cluster.replicas
    const replicaOf = await ask(replica!, (client) => client.info('replication'))
    expect(replicaOf).toContain(`master_port:${master!.port}`)
    await master!.kill('SIGKILL')
    await eventually(
      async () =>
        expect(await ask(replica!, (client) => client.info('replication'))).toContain('role:master'),
      { timeoutMs: 30_000 },
    )
    await master!.restart()
    await eventually(
      async () => expect(await ask(master!, (client) => client.info('replication'))).toContain('role:slave'),
      { timeoutMs: 30_000 },
    )
  }, 90_000)
})

describe('a Sentinel set', () => {
  it('follows the master to a replica when the master is killed', async () => {
    await using set = await startSentinel({ replicas: 2, sentinels: 3 })
    expect([set.servers.length, set.sentinels.length]).toEqual([3, 3])
    const first = await set.master()
    expect(first).toBe(set.servers[0])

    const client = new Redis(set.options)
    client.on('error', () => {})
    await client.set('key', 'value')
    expect(await client.wait(2, 0)).toBe(2)
    await first.kill('SIGKILL')
    const second = await eventually(
      async () => {
        const master = await set.master()
        expect(master).not.toBe(first)
        return master
      },
      { timeoutMs: 30_000 },
    )
    expect(await ask(second, (direct) => direct.info('replication'))).toContain('role:master')
    expect(await client.get('key')).toBe('value')
    client.disconnect()
  }, 90_000)
})
