import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import {
  connect,
  diagnose,
  HeadwaterError,
  isHeadwaterError,
  purgeTombstones,
  reject,
  retention,
  startWorker,
  trim,
  verify,
  type Log,
  type WorkerEvent,
} from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { drained, partitionKeys } from '../worker/test-log.ts'
import { watchedSink } from '../worker/watched-sink.ts'

const group = 'copy'
const options = {
  namespace: randomUUID(),
  collections: [notes],
  partitions: 1,
  deadlineMs: 300,
  attemptMs: 200,
}
const sink = watchedSink()
let server: OwnRedisServer
let client: Redis
let log: Log
let putBack: () => Promise<void>

beforeAll(async () => {
  server = await startRedis({ own: true })
  client = new Redis(server.options)
  log = await connect(server.options, options)
  sink.answer = ({ changes }) =>
    changes.some(({ key }) => key === 'bad')
      ? changes.map(() => reject(new HeadwaterError('SINK_REJECTED', 'Not this one.')))
      : undefined
  const worker = await startWorker(log, { groups: { [group]: { sink, coalesce: false } } })
  for (const id of ['lamp', 'desk', 'bad', 'chair']) await log.append(notes.put({ id, content: 1 }))
  await log.append(notes.delete('desk'))
  await log.steering.set(group, { concurrency: 2, changesPerSecond: 1_000 })
  await drained(log, group)
  await worker.stop()
  putBack = await copyOfAll()
})

beforeEach(() => putBack())

afterAll(async () => {
  await log.close()
  client.disconnect()
  await server.stop()
})

/** Everything that somebody may do with a log, short of running a worker. */
const deeds: Readonly<Record<string, () => Promise<unknown>>> = {
  connect: async () => await (await connect(server.options, options)).close(),
  append: () => log.append(notes.put({ id: 'shelf', content: 2 })),
  patch: () => log.append(notes.patch('lamp', { content: 3 })),
  get: () => log.get(notes, 'lamp'),
  read: async () => {
    for await (const change of log.read(0, 'beginning')) void change.value
  },
  history: async () => {
    for await (const change of log.history(notes, 'lamp')) void change.value
  },
  feed: async () => {
    await using feed = log.feed(notes, { from: 'snapshot' })
    await feed.next()
  },
  groups: () => log.groups(),
  parking: () => log.parking(group).list(),
  steering: () => log.steering.state(),
  retention: () => retention(log),
  trim: () => trim(log),
  purge: () => purgeTombstones(log),
  verify: () => verify(log, sink, { group, timeoutMs: 50 }),
  'deep verify': () => verify(log, sink, { group, deep: true, timeoutMs: 50 }),
  diagnose: () => diagnose(log),
}

/** What is wrong with the errors of all deeds; an error of ours, that can be read, is as it should be. */
async function troubles(): Promise<string[]> {
  const found = await Promise.all(
    Object.entries(deeds).map(async ([deed, run]) => {
      const error = await run().then(
        () => undefined,
        (rejection: unknown) => rejection,
      )
      if (error === undefined) return []
      if (!isHeadwaterError(error)) return [`${deed}: ${(error as Error).message}`]
      return error.message.length < 1_024 ? [] : [`${deed}: ${error.message.length} characters`]
    }),
  )
  return found.flat()
}

/** Damages one key after the other, each in some ways, and puts everything back. */
async function damaged(
  keys: readonly string[],
  values: readonly string[],
  look: () => Promise<string[]>,
): Promise<string[]> {
  const found: string[] = []
  for (const key of keys) {
    const ways: [string, () => Promise<unknown>][] = [
      ['deleted', () => client.del(key)],
      ['another type', async () => (await client.del(key)) && (await client.sadd(key, 'x'))],
    ]
    const type = await client.type(key)
    if (type === 'string') ways.push(['garbage', () => client.set(key, 'garbage')])
    const fields = type === 'hash' ? (await client.hkeys(key)).filter((field) => field !== '') : []
    for (const field of fields)
      for (const value of values)
        ways.push([`${field} is ${JSON.stringify(value)}`, () => client.hset(key, field, value)])
    for (const [way, damage] of ways) {
      await damage()
      found.push(...(await look()).map((trouble) => `${key}, ${way}: ${trouble}`))
      await putBack()
    }
  }
  return found
}

/** Keeps everything as it is now; gives how it is put back. */
async function copyOfAll(): Promise<() => Promise<void>> {
  const dumps = await Promise.all(
    (await client.keys('*')).map(async (key) => [key, await client.dumpBuffer(key)] as const),
  )
  return async () => {
    await client.flushall()
    await Promise.all(dumps.map(([key, dump]) => client.restore(key, 0, dump)))
  }
}

describe('whatever stands under a key of the log', () => {
  it(
    'whoever uses the log gets an error of ours at worst, that can be read',
    { timeout: 60_000 },
    async () => {
      const keys = (await client.keys('*')).toSorted()
      // One bucket stands for the others, which hold nothing else.
      const of = keys.filter((key) => !/:(heads|values):/.test(key) || key.endsWith(':notes:1'))
      expect(of.length).toBeGreaterThan(15)
      expect(await damaged(of, ['garbage', '-1'], troubles)).toEqual([])
    },
  )

  it('a part of the state that is gone is told, and not taken for no entities', async () => {
    const [heads = ''] = (await client.keys('*')).filter((key) => key.endsWith(':heads:notes:1'))
    await client.del(heads)
    const readAll = async (): Promise<void> => {
      for await (const entity of log.entities(notes)) void entity.value
    }
    await expect(readAll()).rejects.toMatchObject({ code: 'LOG_DAMAGED' })
    await using feed = log.feed(notes, { from: 'snapshot' })
    await expect(feed.next()).rejects.toMatchObject({ code: 'LOG_DAMAGED' })
    // A repair would else remove from sinks what the log does not know any more.
    await expect(verify(log, sink, { group, digests: false })).rejects.toMatchObject({ code: 'LOG_DAMAGED' })
  })

  it.each([
    ['owner', 'garbage'],
    ['expires', 'garbage'],
    ['expires', '-1'],
    ['expires', '99999999999999999999'],
    ['committer', 'garbage'],
    ['deaths', 'garbage'],
    ['hand', 'garbage'],
    ['redrives', 'garbage'],
    ['saved', '0-0'],
  ])('workers go on by themselves: %s of a group is %j', async (field, value) => {
    await client.hset(partitionKeys(log, group).group, 'owner', 'dead', field, value)
    const worker = await startWorker(log, {
      groups: { [group]: watchedSink() },
      leaseMs: 1_000,
    })
    try {
      await log.append(notes.put({ id: 'lamp', content: `${field} ${value}` }))
      await drained(log, group, 8_000)
      expect(worker.health().live).toBe(true)
    } finally {
      await worker.stop()
    }
  })

  it.each([
    ['token', 'garbage'],
    ['checkpoint', 'garbage'],
    ['checkpoint', '1--1'],
    ['saved', ''],
    ['copy', 'garbage'],
  ])(
    'workers say what is wrong, and go on when it is put right: %s of a group is %j',
    async (field, value) => {
      const record = partitionKeys(log, group).group
      const before = await client.hget(record, field)
      await client.hset(record, field, value)
      const told: HeadwaterError[] = []
      const worker = await startWorker(log, {
        groups: { [group]: { sink, coalesce: false } },
        leaseMs: 1_000,
        onEvent: (event: WorkerEvent) => void ('error' in event && told.push(event.error)),
      })
      try {
        await eventually(() => expect(told.map(({ code }) => code)).toContain('LOG_DAMAGED'))
        if (before === null) await client.hdel(record, field)
        else await client.hset(record, field, before)
        await log.append(notes.put({ id: 'lamp', content: `${field} ${value} again` }))
        await drained(log, group, 8_000)
      } finally {
        await worker.stop()
      }
    },
  )

  it.each([
    ['concurrency', 'garbage'],
    ['concurrency', '-1'],
    ['concurrency', '1.5'],
    ['rate', 'garbage'],
    ['rate', '0'],
    ['rate', 'Infinity'],
  ])('steering that is none steers nothing: %s is %j', async (kind, value) => {
    const key = `headwater:{${log.namespace}}:steering`
    await client.hset(key, `${kind}:${group}`, value)
    const worker = await startWorker(log, { groups: { [group]: watchedSink() } })
    try {
      await log.append(notes.put({ id: 'lamp', content: `${kind} ${value}` }))
      await drained(log, group, 8_000)
      expect(worker.health().live).toBe(true)
    } finally {
      await worker.stop()
      await client.del(key)
    }
  })
})
