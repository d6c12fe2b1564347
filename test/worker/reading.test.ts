import { notes } from '@headwater/conformance'
import { startWorker, type Log, type Worker } from '@headwater/core'
import { startProxy, type TcpProxy } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { appendEach, drained, listClients, openTestLog, partitionKeys, statusOf } from './test-log.ts'
import { watchedSink, type WatchedSink } from './watched-sink.ts'
import { WorkerEvents } from './worker-events.ts'

const group = 'copy'
/** Less than a blocked read lasts: what is applied within it was not found by waiting for silence. */
const soonMs = 1_500
const numbers = (count: number, from = 1): number[] => Array.from({ length: count }, (_, at) => from + at)

/** What is not supposed to read from the group, and does. */
let foreign: Redis
let proxy: TcpProxy
let log: Log
let sink: WatchedSink
let events: WorkerEvents
let worker: Worker | undefined

startOwnRedis()

beforeEach(async () => {
  foreign = new Redis({ ...server.options, connectionName: 'foreign' })
  proxy = await startProxy(server.options)
  log = await openTestLog({ ...server.options, ...proxy.address })
  sink = watchedSink()
  events = new WorkerEvents()
})

afterEach(async () => {
  foreign.disconnect()
  await worker?.stop()
  worker = undefined
  await log.close()
  await proxy.stop()
})

async function start(): Promise<void> {
  worker = await startWorker(log, { groups: { [group]: { sink, coalesce: false } }, onEvent: events.note })
}

/** Takes entries as a former owner does whose blocked read is answered only now: under the same name. */
function steal(blockMs: number): Promise<unknown> {
  const { log: stream } = partitionKeys(log, group)
  return foreign.xreadgroup('GROUP', group, 'headwater', 'COUNT', 1, 'BLOCK', blockMs, 'STREAMS', stream, '>')
}

/** Waits until the worker's read stands behind the foreign one, which Redis will serve first. */
async function foreignIsFirst(): Promise<void> {
  await eventually(async () => {
    const clients = await listClients(client)
    const ours = clients.find(({ name }) => name === `headwater:${log.namespace}:read:${group}:0`)
    const theirs = clients.find(({ name }) => name === 'foreign')
    expect([ours?.blocked, theirs?.blocked]).toEqual([true, true])
    expect(theirs!.idleSeconds).toBeGreaterThan(ours!.idleSeconds)
  })
}

/** Starts the worker, and lets the foreign read take the first change away from it. */
async function loseOne(): Promise<void> {
  await start()
  await events.first('acquired')
  const stealing = steal(0)
  await foreignIsFirst()
  await appendEach(log, [1])
  expect(await stealing).not.toBeNull()
}

describe('entries that somebody else took from the group', () => {
  it('are applied all the same, each once and in order, however many there are', async () => {
    await start()
    let stolen = 0
    const thief = (async () => {
      for (;;) if (await steal(200)) stolen++
    })().catch(() => {})
    await appendEach(log, numbers(200))
    await drained(log, group)
    foreign.disconnect()
    await thief
    expect(stolen).toBeGreaterThan(20)
    expect(sink.offered()).toEqual(numbers(200))
  })

  it('are read from the log as soon as a later entry shows the gap', async () => {
    await loseOne()
    await appendEach(log, [2])
    await drained(log, group, soonMs)
    expect(sink.offered()).toEqual([1, 2])
  })

  it('are noticed in silence too, when no later entry comes', async () => {
    await loseOne()
    await drained(log, group)
    expect(sink.offered()).toEqual([1])
  })

  it('are applied by the next worker, when they were taken while there was none', async () => {
    await start()
    await appendEach(log, [1])
    await drained(log, group)
    await worker!.stop()
    await appendEach(log, [2, 3, 4])
    for (let taken = 0; taken < 2; taken++) expect(await steal(1)).not.toBeNull()
    await start()
    await events.first('acquired')
    await drained(log, group, soonMs)
    expect(sink.offered()).toEqual([1, 2, 3, 4])
  })

  it('are applied when they were taken under another name', async () => {
    await start()
    await worker!.stop()
    await appendEach(log, [1, 2])
    const { log: stream } = partitionKeys(log, group)
    await foreign.xreadgroup('GROUP', group, 'somebody', 'COUNT', 1, 'STREAMS', stream, '>')
    await start()
    await eventually(() => expect(sink.offered()).toEqual([1, 2]))
  })
})

describe('entries that were delivered again after they were applied', () => {
  it('are acknowledged by the next worker, and not applied again', async () => {
    await start()
    await appendEach(log, [1, 2, 3])
    await drained(log, group)
    await worker!.stop()
    const { log: stream } = partitionKeys(log, group)
    await client.xgroup('SETID', stream, group, '0')
    for (let taken = 0; taken < 2; taken++) expect(await steal(1)).not.toBeNull()
    expect((await statusOf(log, group)).pending).toBe(2)
    await start()
    await drained(log, group)
    await appendEach(log, [4])
    await drained(log, group)
    expect(sink.offered()).toEqual([1, 2, 3, 4])
  })
})

describe('entries of which the acknowledgement was lost', () => {
  it('are acknowledged in the next silence by the worker that applied them, and not applied again', async () => {
    await start()
    await appendEach(log, numbers(3))
    await drained(log, group)
    const { log: stream } = partitionKeys(log, group)
    // As a server has it that was made the master before it had seen the acknowledgement, and sees the next one.
    await foreign.xclaim(stream, group, 'headwater', 0, '1-1', '1-2', 'FORCE', 'JUSTID')
    await appendEach(log, [4])
    await drained(log, group)
    await eventually(async () => expect(await client.xpending(stream, group)).toEqual([0, null, null, null]))
    expect(sink.offered()).toEqual(numbers(4))
  })
})

describe('a group that disappears', () => {
  it('is made again where the worker stands: nothing is skipped, nothing applied twice', async () => {
    await start()
    await appendEach(log, numbers(5))
    await drained(log, group)
    const { log: stream } = partitionKeys(log, group)
    await client.xgroup('DESTROY', stream, group)
    await appendEach(log, numbers(5, 6))
    await events.first('group-restored')
    await drained(log, group, soonMs)
    expect(sink.offered()).toEqual(numbers(10))
  })

  it('is made again by a worker that starts, at the checkpoint', async () => {
    await start()
    await appendEach(log, numbers(5))
    await drained(log, group)
    await worker!.stop()
    const { log: stream } = partitionKeys(log, group)
    await client.xgroup('DESTROY', stream, group)
    await appendEach(log, numbers(5, 6))
    await start()
    await events.first('group-restored')
    await drained(log, group, soonMs)
    expect(sink.offered()).toEqual(numbers(10))
  })

  it('loses nothing when it is made again by hand, at the end of the log', async () => {
    await start()
    await appendEach(log, [1])
    await drained(log, group)
    await worker!.stop()
    await appendEach(log, [2, 3])
    const { log: stream } = partitionKeys(log, group)
    await client.xgroup('SETID', stream, group, '$')
    await start()
    await drained(log, group)
    expect(sink.offered()).toEqual([1, 2, 3])
  })
})

describe('a read that fails', () => {
  it('loses nothing when its reply is lost', async () => {
    await start()
    await events.first('acquired')
    const lost = proxy.loseReply('XREADGROUP')
    await appendEach(log, numbers(3))
    await lost
    await appendEach(log, numbers(3, 4))
    await drained(log, group)
    expect(sink.offered()).toEqual(numbers(6))
  })

  it('is replaced when it never settles', async () => {
    await start()
    await events.first('acquired')
    const silent = proxy.fallSilentAfter('XREADGROUP')
    await silent
    await appendEach(log, numbers(3))
    // A read blocks for two seconds; two more, and it counts as dead.
    await drained(log, group, 8_000)
    expect(sink.offered()).toEqual(numbers(3))
    expect(events.of('retrying').map(({ error }) => error.code)).toContain('REDIS_UNAVAILABLE')
    expect(events.of('lost')).toEqual([])
  })

  it('goes on after every connection was cut', async () => {
    await start()
    for (let round = 0; round < 10; round++) {
      const cut = proxy.loseRequest('EVALSHA')
      await log.append(notes.put({ id: 'lamp', content: round }))
      await cut
      proxy.cut()
    }
    await drained(log, group)
    expect(sink.offered()).toEqual(numbers(10))
    expect((await statusOf(log, group)).checkpoint).toBe('0:1-10')
  })
})
