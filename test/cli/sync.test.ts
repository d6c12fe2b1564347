import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { connect, nodeSets, noVersions, writeVersion, type Log } from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { redisNode } from '@headwater/redis'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { Call, headwater, lastLine, type CallOptions, type Ended } from './headwater.ts'

const config = fileURLToPath(new URL('./nodes.config.ts', import.meta.url))
const names = ['one', 'two', 'three'] as const
let server: RedisServer
let nodeServers: RedisServer[]
let clients: Redis[]
let log: Log
let key: string

beforeAll(async () => {
  ;[server, ...nodeServers] = await Promise.all([
    startRedis(),
    ...names.map(() => startRedis({ own: true, config: { appendonly: 'yes' } })),
  ])
  clients = nodeServers.map(({ options }) => new Redis({ ...options, maxRetriesPerRequest: 0 }))
  for (const client of clients) client.on('error', () => {})
})

afterAll(async () => {
  for (const client of clients) client.disconnect()
  await Promise.all([server, ...nodeServers].map((each) => each.stop()))
})

beforeEach(async () => {
  key = `books-${randomUUID()}`
  log = await connect(server.options, {
    namespace: `${server.namespacePrefix}${randomUUID()}`,
    collections: [nodeSets],
    partitions: 1,
  })
  const weights = { one: 2, two: 1, three: 1 }
  await log.append(nodeSets.put({ name: 'books', weights, read: 3, write: 3 }), { expected: 'absent' })
})

afterEach(() => log.close())

function options(): CallOptions {
  return { env: { NODE_URLS: nodeServers.map(({ url }) => url).join(' '), NODE_KEY: key } }
}

function args(): string[] {
  return ['sync', 'books', '--config', config, '--json', '--redis', server.url, '--namespace', log.namespace]
}

async function sync(): Promise<Ended> {
  return await headwater(args(), options())
}

/** Each node writes a third of the keys, and all of them a value of their own to each tenth. */
async function fill(count: number): Promise<void> {
  const nodes = clients.map((client, at) => redisNode({ name: names[at]!, client, key }))
  for (const [at, node] of nodes.entries()) {
    const ids = Array.from({ length: count }, (_, number) => number).filter(
      (n) => n % 3 === at || n % 10 === 0,
    )
    await Promise.all(
      ids.map(async (number) => {
        const version = {
          site: names[at]!,
          stamp: { epoch: 1, sequence: number + 1 },
          time: { ms: 1_000 + number, counter: 0 },
          value: { number, by: names[at] },
        }
        const versions = writeVersion<unknown>(noVersions, version)
        expect(await node.write(`book-${number}`, undefined, versions)).toBe('written')
      }),
    )
  }
}

async function held(): Promise<Record<string, string>[]> {
  return await Promise.all(clients.map((client) => client.hgetall(key)))
}

describe('headwater sync', () => {
  it('brings the nodes together, step by step, under the weights that the log has, and then finds nothing to do', async () => {
    await fill(300)
    const first = await sync()
    expect(first.ending).toBe(0)
    const report = lastLine(first) as { steps: { step: string; done: number }[]; bytes: number }
    expect(report).toMatchObject({ set: 'books', weights: '1', different: 300, acknowledged: 300, open: [] })
    expect(report.steps.map(({ step }) => step)).toEqual([
      'acquire',
      'compare',
      'transfer',
      'elect',
      'synchronise',
      'acknowledge',
    ])
    expect(report.bytes).toBeGreaterThan(10_000)
    const [one, two, three] = await held()
    expect(Object.keys(one!)).toHaveLength(300)
    expect(two).toEqual(one)
    expect(three).toEqual(one)
    expect(lastLine(await sync())).toMatchObject({ different: 0, written: 0 })
  })

  it('is gone on with after its coordinator was killed in the middle', async () => {
    await fill(3_000)
    let before = 0
    for (let kill = 0; kill < 3; kill++) {
      const call = new Call(args(), options())
      await eventually(async () => expect(await clients[2]!.hlen(key)).toBeGreaterThan(before), {
        everyMs: 1,
      })
      call.process.kill('SIGKILL')
      expect((await call.ended()).ending).toBe('SIGKILL')
      before = await clients[2]!.hlen(key)
      if (before === 3_000) break
    }
    const last = await sync()
    expect(last.ending).toBe(0)
    expect(lastLine(last)).toMatchObject({ open: [], quorum: true })
    const [one, two, three] = await held()
    expect(Object.keys(one!)).toHaveLength(3_000)
    expect(two).toEqual(one)
    expect(three).toEqual(one)
  })

  it('goes on without a node that dies in the middle, ends with 2 without a read quorum, and catches it up later', async () => {
    await fill(3_000)
    const call = new Call(args(), options())
    await eventually(async () => expect(await clients[1]!.hlen(key)).toBeGreaterThan(1_500), { everyMs: 1 })
    await nodeServers[2]!.kill('SIGKILL')
    const ended = await call.ended()
    expect(ended.ending).toBe(0)
    expect(lastLine(ended)).toMatchObject({ unreachable: ['three'], quorum: true, open: [] })
    await nodeServers[0]!.kill('SIGKILL')
    expect((await sync()).ending).toBe(2)
    await Promise.all([nodeServers[0]!.restart(), nodeServers[2]!.restart()])
    await eventually(async () => expect((await sync()).ending).toBe(0), { everyMs: 200 })
    const [one, two, three] = await held()
    expect(two).toEqual(one)
    expect(three).toEqual(one)
  })

  it('says how to put the weights of a set into the log that it does not have', async () => {
    await log.append(nodeSets.delete('books'))
    const ended = await sync()
    expect(ended.ending).toBe(2)
    expect(ended.stdout).toContain('headwater append node-sets')
  })
})
