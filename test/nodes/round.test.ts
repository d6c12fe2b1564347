import { randomUUID } from 'node:crypto'
import {
  HybridClock,
  noVersions,
  syncRound,
  winnerOf,
  writeVersion,
  type Node,
  type Quorums,
  type Versions,
} from '@headwater/core'
import { startPostgres, startRedis, type PostgresServer, type RedisServer } from '@headwater/local-servers'
import { postgresNode } from '@headwater/postgres'
import { redisNode } from '@headwater/redis'
import { Redis } from 'ioredis'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const names = ['one', 'two', 'three'] as const
const quorums: Quorums = { weights: { one: 2, two: 1, three: 1, watcher: 0 }, read: 3, write: 3 }
let servers: RedisServer[]
let clients: Redis[]
let postgres: PostgresServer
let pool: Pool

beforeAll(async () => {
  servers = await Promise.all(names.slice(0, 2).map(() => startRedis({ own: true })))
  clients = servers.map(({ options }) => new Redis(options))
  postgres = await startPostgres()
  pool = new Pool({ ...postgres.connection, max: 2 })
})

afterAll(async () => {
  for (const client of clients) client.disconnect()
  await pool.end()
  await Promise.all([...servers.map((server) => server.stop()), postgres.stop()])
})

/** Two nodes in Redis and one in Postgres, each on a server of its own, of which each also writes. */
async function openSet() {
  const key = `set-${randomUUID()}`
  const inPostgres = postgresNode({ name: 'three', pool, table: key, schema: postgres.schema })
  await inPostgres.prepare()
  const inRedis = clients.map((client, at) => redisNode({ name: names[at]!, client, key }))
  const nodes: readonly Node[] = [...inRedis, inPostgres]
  const clock = new HybridClock()
  let sequence = 0
  return {
    nodes,
    async write(at: number, id: string, value: unknown): Promise<void> {
      const [held] = await nodes[at]!.read([id])
      const stamp = { epoch: 1, sequence: ++sequence }
      const version = { site: names[at]!, stamp, time: clock.next(), value }
      const versions = writeVersion<unknown>(held?.versions ?? noVersions, version)
      expect(await nodes[at]!.write(id, held?.mark, versions)).toBe('written')
    },
    async winners(id: string): Promise<unknown[]> {
      const rows = await Promise.all(nodes.map(async (node) => (await node.read([id]))[0]))
      return rows.map((row) => row && winnerOf(row.versions, quorums))
    },
  }
}

function failing(node: Node, from: number): Node {
  let calls = 0
  const fail = (): void => {
    if (++calls >= from) throw new Error('The node is gone.')
  }
  return {
    name: node.name,
    async *list() {
      fail()
      yield* node.list()
    },
    async read(keys) {
      fail()
      return await node.read(keys)
    },
    async write(...args) {
      fail()
      return await node.write(...args)
    },
  }
}

describe('a round', () => {
  it('brings three writing sites, in Redis and Postgres, to the same value, and has nothing left to do after', async () => {
    const set = await openSet()
    for (let at = 0; at < 60; at++) await set.write(at % 3, `item-${at % 30}`, { by: names[at % 3], at })
    const steps: string[] = []
    const first = await syncRound(set.nodes, { quorums, onProgress: ({ step }) => steps.push(step) })
    expect(first).toMatchObject({ different: 30, acknowledged: 30, open: [], unreachable: [], quorum: true })
    expect([...new Set(steps)]).toEqual([
      'acquire',
      'compare',
      'transfer',
      'elect',
      'synchronise',
      'acknowledge',
    ])
    for (const id of ['item-0', 'item-1', 'item-2'])
      expect(new Set((await set.winners(id)).map(String)).size).toBe(1)
    const second = await syncRound(set.nodes, { quorums })
    expect(second).toMatchObject({ different: 0, written: 0, quorum: true })
  })

  it('lets the heavier origin win what was written side by side, and later knowledge win over both', async () => {
    const set = await openSet()
    await set.write(0, 'a', 'heavy')
    await set.write(1, 'a', 'light, and later')
    await syncRound(set.nodes, { quorums })
    expect(await set.winners('a')).toEqual(['heavy', 'heavy', 'heavy'])
    await set.write(2, 'a', 'knows both')
    await syncRound(set.nodes, { quorums })
    expect(await set.winners('a')).toEqual(['knows both', 'knows both', 'knows both'])
    await set.write(1, 'a', undefined)
    await syncRound(set.nodes, { quorums })
    expect(await set.winners('a')).toEqual([undefined, undefined, undefined])
  })

  it('acknowledges without a node that is gone, and catches it up in the next round', async () => {
    const set = await openSet()
    await set.write(0, 'a', 1)
    const [one, two, three] = set.nodes as [Node, Node, Node]
    const report = await syncRound([one, two, failing(three, 1)], { quorums })
    expect(report).toMatchObject({ acknowledged: 1, open: [], unreachable: ['three'], quorum: true })
    expect(await set.winners('a')).toEqual([1, 1, undefined])
    expect(await syncRound(set.nodes, { quorums })).toMatchObject({
      different: 1,
      acknowledged: 1,
      written: 1,
    })
    expect(await set.winners('a')).toEqual([1, 1, 1])
  })

  it('elects nothing without a read quorum', async () => {
    const set = await openSet()
    await set.write(1, 'a', 1)
    const [one, two, three] = set.nodes as [Node, Node, Node]
    const report = await syncRound([failing(one, 1), two, three], { quorums })
    expect(report).toMatchObject({
      acknowledged: 0,
      open: ['a'],
      unreachable: ['one'],
      quorum: false,
      written: 0,
    })
  })

  it('acknowledges nothing that less than a write quorum holds, and survives a node that dies at any call', async () => {
    const set = await openSet()
    for (let at = 0; at < 6; at++) await set.write(at % 3, `item-${at}`, at)
    for (let call = 1; call <= 8; call++) {
      const dying = set.nodes.map((node, at) => (at === 0 ? failing(node, call) : node))
      const report = await syncRound(dying, { quorums })
      // Without the node of weight 2 the others weigh 2 of the 3 that it takes.
      expect(report.quorum || report.acknowledged < 6).toBe(true)
      expect(report.acknowledged + report.open.length).toBe(report.different)
    }
    expect(await syncRound(set.nodes, { quorums })).toMatchObject({ open: [], quorum: true })
    for (let at = 0; at < 6; at++) expect(await set.winners(`item-${at}`)).toEqual([at, at, at])
  })

  it('judges anew what a site writes meanwhile, and loses neither value', async () => {
    const set = await openSet()
    await set.write(0, 'a', 'first')
    let meanwhile: Promise<void> | undefined
    const [one, two, three] = set.nodes as [Node, Node, Node]
    const busy: Node = {
      ...two,
      async write(...args) {
        await (meanwhile ??= set.write(1, 'a', 'side by side'))
        return await two.write(...args)
      },
    }
    expect(await syncRound([one, busy, three], { quorums })).toMatchObject({ acknowledged: 1, open: [] })
    const rows = await Promise.all(set.nodes.map(async (node) => (await node.read(['a']))[0]?.versions))
    const values = rows.map((held: Versions<unknown> | undefined) =>
      held?.versions.map(({ value }) => value).toSorted(),
    )
    expect(values).toEqual(Array.from({ length: 3 }, () => ['first', 'side by side']))
  })
})
