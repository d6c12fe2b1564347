import { parseVersion, startWorker, type Log, type Worker } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { appendEach, drained, openTestLog, partitionKeys } from './test-log.ts'
import { watchedSink, type WatchedSink } from './watched-sink.ts'
import { WorkerEvents } from './worker-events.ts'

const group = 'copy'
let server: OwnRedisServer
let client: Redis
let log: Log
let sink: WatchedSink
let events: WorkerEvents
let worker: Worker | undefined

beforeEach(async () => {
  server = await startRedis({ own: true })
  client = new Redis({ ...server.options, retryStrategy: () => 10 })
  // The server is killed on purpose; without a listener ioredis would print it.
  client.on('error', () => {})
  log = await openTestLog(server.options)
  sink = watchedSink()
  events = new WorkerEvents()
})

afterEach(async () => {
  await worker?.stop()
  worker = undefined
  await log.close()
  client.disconnect()
  await server.stop()
})

async function start(): Promise<void> {
  worker = await startWorker(log, { groups: { [group]: sink }, leaseMs: 600, onEvent: events.note })
}

const keyOf = (content: number): string => `note-${content % 2}`

/** Three changes are saved; two more are acknowledged and applied, and then lost with the server. */
async function loseTwo(): Promise<void> {
  await start()
  await appendEach(log, [1, 2, 3], keyOf)
  await drained(log, group)
  await client.save()
  await appendEach(log, [4, 5], keyOf)
  await drained(log, group)
  // The sink knows how far it is.
  await eventually(async () => {
    expect(await client.hget(partitionKeys(log, group).group, 'saved')).toBe('1-5')
  })
}

async function restoreOlderCopy(): Promise<void> {
  await server.kill('SIGKILL')
  await server.restart()
}

/** Waits until the sink knows that it is that far, and returns the epoch that it names. */
async function savedUpTo(sequence: number): Promise<number> {
  return await eventually(async () => {
    const saved = await client.hget(partitionKeys(log, group).group, 'saved')
    expect(saved).toMatch(new RegExp(`-${sequence}$`))
    return Number.parseInt(saved!, 10)
  })
}

/** How long ago the first epoch was opened, by the clock of the server. */
async function secondsOfFirstEpoch(): Promise<number> {
  const opened = (await client.hget(partitionKeys(log, group).header, 'epoch:1'))!.split(' ')[2]
  const [seconds, micros] = await client.time()
  return Math.floor((Number(seconds) * 1000 + Number(micros) / 1000 - Number(opened)) / 1000)
}

const lostTail = { kind: 'history-lost', group, partition: 0, epoch: 1, from: 4, to: 5 }

describe('a log that comes back without its newest changes', () => {
  it('is told of by a worker that was at work, and new changes win over the lost ones', async () => {
    await loseTwo()
    await restoreOlderCopy()
    const results = await appendEach(log, [14, 15], keyOf)
    expect(results.map(({ version }) => version)).toEqual([
      expect.stringMatching(/^2@\d+$/),
      expect.stringMatching(/^3@\d+$/),
    ])
    await drained(log, group)
    expect(await events.first('history-lost')).toEqual(lostTail)
    expect(Object.fromEntries(sink.entries())).toMatchObject({
      'note-0': { content: 14 },
      'note-1': { content: 15 },
    })
    expect(await client.hget(partitionKeys(log, group).group, 'lost')).toContain('4-5')
  })

  it('is told of by a worker that starts after history has gone on', async () => {
    await loseTwo()
    await worker!.stop()
    await restoreOlderCopy()
    await appendEach(log, [14, 15, 16], keyOf)
    await start()
    await drained(log, group)
    expect(await events.first('history-lost')).toEqual(lostTail)
    expect(Object.fromEntries(sink.entries())).toMatchObject({
      'note-0': { content: 16 },
      'note-1': { content: 15 },
    })
    expect(await client.hget(partitionKeys(log, group).group, 'lost')).toContain('4-5')
  })

  it('is told of by a worker that starts before history goes on', async () => {
    await loseTwo()
    await worker!.stop()
    await restoreOlderCopy()
    await start()
    expect(await events.first('history-lost')).toEqual(lostTail)
    await appendEach(log, [14, 15], keyOf)
    await drained(log, group)
    expect(Object.fromEntries(sink.entries())).toMatchObject({
      'note-0': { content: 14 },
      'note-1': { content: 15 },
    })
  })

  it('is told of again by the next loss, of the same copy', async () => {
    await loseTwo()
    await restoreOlderCopy()
    await appendEach(log, [14, 15, 16, 17], keyOf)
    const first = await savedUpTo(7)
    events.all.length = 0
    await restoreOlderCopy()
    expect(await events.first('history-lost')).toEqual({ ...lostTail, epoch: first, to: 7 })
    await appendEach(log, [24, 25], keyOf)
    await drained(log, group)
    expect(Object.fromEntries(sink.entries())).toMatchObject({
      'note-0': { content: 24 },
      'note-1': { content: 25 },
    })
  })

  it('does not win when the same copy is restored twice, though no worker was there to notice', async () => {
    await loseTwo()
    await restoreOlderCopy()
    await appendEach(log, [14, 15, 16, 17], keyOf)
    const first = await savedUpTo(7)
    await worker!.stop()
    // Numbers of epochs rise by the second.
    await eventually(async () =>
      expect(await secondsOfFirstEpoch()).toBeGreaterThan(Math.floor(first / 65_536)),
    )
    await restoreOlderCopy()
    const [other] = await appendEach(log, [24], keyOf)
    expect(other!.version).not.toBe(`2@${first}`)
    await start()
    await drained(log, group)
    expect(sink.entries().get('note-0')).toMatchObject({ content: 24 })
  })

  it('is noticed by the worker also where the clock went back, so that the later epoch has the lower number', async () => {
    const { header } = partitionKeys(log, group)
    const [inherited, branch] = (await client.hget(header, 'epoch:1'))!.split(' ')
    const openFirstEpoch = async (time: number): Promise<void> => {
      await client.hset(header, 'epoch:1', `${inherited} ${branch} ${time}`)
    }
    await openFirstEpoch(Date.now() - 10_000)
    await loseTwo()
    await restoreOlderCopy()
    await appendEach(log, [14, 15, 16, 17], keyOf)
    const first = await savedUpTo(7)
    await worker!.stop()
    events.all.length = 0
    await restoreOlderCopy()
    await openFirstEpoch(Date.now() + 3_600_000)
    await start()
    expect(await events.first('history-lost')).toEqual({ ...lostTail, epoch: first, to: 7 })
    // The worker has opened an epoch above the one that the sink knows by another history.
    const results = await appendEach(log, [24, 25], keyOf)
    for (const { version } of results) expect(parseVersion(version).epoch).toBeGreaterThan(first)
    await drained(log, group)
    expect(Object.fromEntries(sink.entries())).toMatchObject({
      'note-0': { content: 24 },
      'note-1': { content: 25 },
    })
  })

  it('is no loss where nothing is missing: a restart with everything', async () => {
    await loseTwo()
    await client.save()
    await restoreOlderCopy()
    await appendEach(log, [6], keyOf)
    await drained(log, group)
    expect(sink.entries().get('note-0')).toMatchObject({ content: 6 })
    expect([...events.of('history-lost'), ...events.of('damaged')]).toEqual([])
  })
})
