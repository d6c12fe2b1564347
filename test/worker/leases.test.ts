import { notes } from '@headwater/conformance'
import { startWorker, type Log, type Worker, type WorkerOptions } from '@headwater/core'
import { startProxy } from '@headwater/local-servers'
import { redisSink } from '@headwater/redis'
import { afterEach, describe, expect, it } from 'vitest'
import { commit } from '../../packages/core/src/group/commit.ts'
import { acquireLease, type Lease } from '../../packages/core/src/group/lease.ts'
import { namespaceKeys } from '../../packages/core/src/namespace/keys.ts'
import { ChildWorker } from '../support/child-worker.ts'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { appendEach, drained, openTestLog, parseClients, partitionKeys, statusOf } from './test-log.ts'
import { watchedSink, type WatchedSink } from './watched-sink.ts'
import { WorkerEvents } from './worker-events.ts'

const group = 'copy'
const opened: AsyncDisposable[] = []

startOwnRedis()

afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) await one[Symbol.asyncDispose]()
})

/** To be closed when the test ends, before what was opened earlier. */
function closing<T extends AsyncDisposable>(one: T): T {
  opened.push(one)
  return one
}

interface Running {
  readonly worker: Worker
  readonly events: WorkerEvents
  readonly sink: WatchedSink
}

async function run(log: Log, sink: WatchedSink, options: Partial<WorkerOptions> = {}): Promise<Running> {
  const events = new WorkerEvents()
  const groups = { [group]: { sink, coalesce: false } }
  const worker = closing(await startWorker(log, { groups, onEvent: events.note, ...options }))
  return { worker, events, sink }
}

const ownersOf = async (log: Log): Promise<(string | undefined)[]> =>
  (await log.groups()).map(({ owner }) => owner)

/** Waits until a group's partitions are shared evenly among so many workers. */
async function shared(log: Log, workers: number): Promise<void> {
  await eventually(
    async () => {
      const owners = await ownersOf(log)
      const counts = [...new Set(owners)].map((owner) => owners.filter((other) => other === owner).length)
      expect(owners).not.toContain(undefined)
      expect(counts).toHaveLength(workers)
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
    },
    { timeoutMs: 20_000 },
  )
}

const tokensOf = (log: Log): Promise<(string | null)[]> =>
  Promise.all(
    Array.from({ length: log.partitions }, (_, partition) =>
      client.hget(partitionKeys(log, group, partition).group, 'token'),
    ),
  )

const manyNotes = (log: Log, count: number, content: number): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, (_, at) => log.append(notes.put({ id: `${at}`, content }))))

describe('a worker that is killed', () => {
  it('is succeeded within leaseMs', async () => {
    const leaseMs = 3_000
    const log = closing(await openTestLog(server.options, { partitions: 4 }))
    const prefix = log.namespace
    const child = closing(
      await ChildWorker.start({
        log: server.options,
        namespace: log.namespace,
        groups: { [group]: { kind: 'redis', target: server.options, prefix } },
        leaseMs,
      }),
    )
    const sink = redisSink({ client, collection: notes, key: `${prefix}:{key}`, prefix: `sink:${prefix}` })
    closing(await startWorker(log, { groups: { [group]: sink }, leaseMs }))
    await shared(log, 2)
    await child.kill('SIGKILL')
    const killedAt = performance.now()
    await manyNotes(log, 40, 1)
    await drained(log, group)
    expect(performance.now() - killedAt).toBeLessThan(leaseMs)
    expect(await client.exists(...Array.from({ length: 40 }, (_, at) => `${prefix}:${at}`))).toBe(40)
  })
})

describe('a lease that a server gave whose clock ran ahead', () => {
  it('keeps nobody out for longer than a lease lasts', async () => {
    const log = closing(await openTestLog(server.options))
    const first = await run(log, watchedSink())
    await first.worker.stop()
    const inAnHour = Date.now() + 3_600_000
    await client.hset(partitionKeys(log, group).group, 'owner', 'dead', 'expires', inAnHour)
    const next = await run(log, watchedSink(), { leaseMs: 1_000 })
    await eventually(() => expect(next.events.of('acquired')).toHaveLength(1), { timeoutMs: 5_000 })
  })
})

describe('a worker that is stopped', () => {
  it('has its partitions taken over at once, and not only when its leases run out', async () => {
    const log = closing(await openTestLog(server.options, { partitions: 4 }))
    const { target } = watchedSink()
    const one = await run(log, watchedSink({ target }), { leaseMs: 15_000 })
    await eventually(() => expect(one.events.of('acquired')).toHaveLength(4))
    const two = await run(log, watchedSink({ target }), { leaseMs: 15_000 })
    await shared(log, 2)
    const stoppedAt = performance.now()
    await one.worker.stop()
    await eventually(() => expect(two.events.of('acquired')).toHaveLength(4), { everyMs: 5 })
    expect(performance.now() - stoppedAt).toBeLessThan(1_500)
    expect(one.events.of('released').map(({ reason }) => reason)).toContain('stopping')
    await manyNotes(log, 20, 1)
    await drained(log, group)
  })

  it('finishes what is at the sink, commits it, and only then lets go', async () => {
    const log = closing(await openTestLog(server.options))
    const one = await run(log, watchedSink())
    let answer!: () => void
    one.sink.answer = () => new Promise((resolve) => (answer = () => resolve(undefined)))
    await appendEach(log, [1])
    await eventually(() => expect(one.sink.calls).toHaveLength(1))
    const stopping = one.worker.stop()
    await appendEach(log, [2])
    expect((await statusOf(log, group)).owner).toBe(one.worker.name)
    answer()
    await stopping
    expect(await statusOf(log, group)).toMatchObject({ owner: undefined, checkpoint: '0:1-1', lag: 1 })
    expect(one.sink.offered()).toEqual([1])
  })

  it('gives up on a sink that does not answer in its budget, and leaves the rest to its successor', async () => {
    const log = closing(await openTestLog(server.options))
    const one = await run(log, watchedSink(), { drainMs: 100 })
    one.sink.answer = () => new Promise(() => {})
    await appendEach(log, [1])
    await eventually(() => expect(one.sink.calls).toHaveLength(1))
    await one.worker.stop()
    expect(await statusOf(log, group)).toMatchObject({ owner: undefined, checkpoint: '0:0-0', lag: 1 })
    const two = await run(log, watchedSink())
    await drained(log, group)
    expect(two.sink.offered()).toEqual([1])
  })

  it('may be stopped twice, and settles done', async () => {
    const log = closing(await openTestLog(server.options))
    const { worker } = await run(log, watchedSink())
    await Promise.all([worker.stop(), worker.stop(), worker.done])
    await expect(worker.stop()).resolves.toBeUndefined()
  })

  it('ends its read before it lets go', async () => {
    const log = closing(await openTestLog(server.options))
    const { worker, events } = await run(log, watchedSink())
    await events.first('acquired')
    const reader = `headwater:${log.namespace}:read:${group}:0`
    const look = async (): Promise<{ owner: string | null; reading: boolean }> => {
      const [[, list], [, owner]] = (await client
        .multi()
        .call('CLIENT', 'LIST')
        .hget(partitionKeys(log, group).group, 'owner')
        .exec()) as [[null, string], [null, string | null]]
      const reading = parseClients(list).some(({ name, blocked }) => name === reader && blocked)
      return { owner, reading }
    }
    await eventually(async () => expect(await look()).toEqual({ owner: worker.name, reading: true }))
    const stopped = new AbortController()
    const stopping = worker.stop().then(() => stopped.abort())
    const seen = []
    while (!stopped.signal.aborted) seen.push(await look())
    await stopping
    expect(seen.filter(({ owner, reading }) => owner === null && reading)).toEqual([])
    expect(await look()).toEqual({ owner: null, reading: false })
  })
})

describe('a worker that joins or leaves', () => {
  it('moves as few partitions as possible: those that stay keep their token', async () => {
    const log = closing(await openTestLog(server.options, { partitions: 6 }))
    const { target } = watchedSink()
    const one = await run(log, watchedSink({ target }))
    await shared(log, 1)
    const before = await tokensOf(log)
    const two = await run(log, watchedSink({ target }))
    await shared(log, 2)
    const owners = await ownersOf(log)
    const after = await tokensOf(log)
    const kept = owners.flatMap((owner, partition) => (owner === one.worker.name ? [partition] : []))
    expect(kept.map((partition) => after[partition])).toEqual(kept.map((partition) => before[partition]))
    expect(one.events.of('acquired')).toHaveLength(6)
    expect(one.events.of('released').map(({ reason }) => reason)).toEqual(Array(3).fill('rebalanced'))

    const theirs = owners.flatMap((owner, partition) => (owner === two.worker.name ? [partition] : []))
    await one.worker.stop()
    await shared(log, 1)
    const atLast = await tokensOf(log)
    expect(theirs.map((partition) => atLast[partition])).toEqual(theirs.map((partition) => after[partition]))
  })

  it('never makes two of them write to one partition, however many come and go', async () => {
    const log = closing(await openTestLog(server.options, { partitions: 4 }))
    const { target } = watchedSink()
    /** By partition: the tokens in the order in which their calls reached the target. */
    const tokens = new Map<number, number[]>()
    const start = async (): Promise<Running> => {
      const sink = watchedSink({ target })
      sink.answer = ({ partition, fence }) => {
        tokens.set(partition, [...(tokens.get(partition) ?? []), fence.token])
        return undefined
      }
      return await run(log, sink, { leaseMs: 500 })
    }
    const running: Running[] = [await start()]
    let content = 0
    for (const step of ['join', 'join', 'leave', 'join', 'leave', 'leave', 'join', 'leave'] as const) {
      await manyNotes(log, 20, ++content)
      if (step === 'join') running.push(await start())
      else await running.shift()!.worker.stop()
      await shared(log, running.length)
    }
    await manyNotes(log, 20, ++content)
    await drained(log, group)
    for (const order of tokens.values()) expect(order).toEqual(order.toSorted((a, b) => a - b))
    const contents = [...running[0]!.sink.entries().values()].map((note) => note.content)
    expect(contents).toEqual(Array(20).fill(content))
  })
})

/** A worker behind a link of its own, which it can lose without knowing. */
async function openZombie() {
  const proxy = closing(await startProxy(server.options))
  const log = closing(await openTestLog(server.options))
  const cutOff = closing(
    await openTestLog(
      { ...server.options, ...proxy.address },
      { namespace: log.namespace, attemptMs: 60_000 },
    ),
  )
  const { target } = watchedSink()
  const zombie = await run(cutOff, watchedSink({ target }), { leaseMs: 600 })
  return { proxy, log, target, zombie }
}

describe('a worker that has lost its lease without knowing', () => {
  it('cannot move the checkpoint, and cannot write to the sink', async () => {
    const { proxy, log, target, zombie } = await openZombie()
    await appendEach(log, [1])
    await drained(log, group)
    // Its next call is at the sink while it loses the lease.
    let answer!: () => void
    zombie.sink.answer = () => new Promise((resolve) => (answer = () => resolve(undefined)))
    await appendEach(log, [2])
    await eventually(() => expect(zombie.sink.calls).toHaveLength(2))
    proxy.blackhole()
    const successor = await run(log, watchedSink({ target }), { leaseMs: 600 })
    await drained(log, group)
    await appendEach(log, [3])
    await drained(log, group)
    expect(successor.sink.offered().slice(-2)).toEqual([2, 3])
    answer()
    proxy.heal()
    const lost = await zombie.events.first('lost')
    expect(lost).toMatchObject({ group, partition: 0 })
    expect(zombie.sink.entries().get('lamp')).toEqual({ id: 'lamp', content: 3 })
    expect(await statusOf(log, group)).toMatchObject({ owner: successor.worker.name, checkpoint: '0:1-3' })
  })

  it('does not take its own checkpoint back by an attempt that comes late', async () => {
    const log = closing(await openTestLog(server.options))
    const first = await run(log, watchedSink())
    await first.worker.stop()
    const keys = namespaceKeys(log.namespace, 1).partitions[0]!
    const request = { keys, group, owner: 'slow', leaseMs: 10_000 }
    const commitAt = async (token: number, sequence: number): Promise<string | null> => {
      const at = { epoch: 1, sequence }
      expect(await commit(client, request, token, { checkpoint: at, saved: at, entries: [] })).toBe(
        'committed',
      )
      return await client.hget(keys.group(group), 'checkpoint')
    }
    const granted = await acquireLease(client, request)
    const { token } = (granted as { lease: Lease }).lease
    expect(await commitAt(token, 3)).toBe('1-3')
    expect(await commitAt(token, 5)).toBe('1-5')
    expect(await commitAt(token, 3)).toBe('1-5')
    // Whoever begins anew may have found out that history was lost.
    await acquireLease(client, request)
    expect(await commitAt(token + 1, 2)).toBe('1-2')
  })

  it('has its late commit refused, which was on its way when the lease ran out', async () => {
    const { proxy, log, target, zombie } = await openZombie()
    await zombie.events.first('acquired')
    // Applied, and from then on nothing of it reaches Redis: the commit stays in the link.
    zombie.sink.answer = () => {
      proxy.blackhole()
      return undefined
    }
    await appendEach(log, [1])
    await eventually(() => expect(zombie.sink.calls).toHaveLength(1))
    const successor = await run(log, watchedSink({ target }), { leaseMs: 600 })
    await appendEach(log, [2])
    await drained(log, group)
    const checkpoints: string[] = []
    const watching = (async () => {
      while (zombie.events.of('lost').length === 0) checkpoints.push((await statusOf(log, group)).checkpoint)
    })()
    proxy.heal()
    await zombie.events.first('lost')
    await watching
    expect(new Set([...checkpoints, (await statusOf(log, group)).checkpoint])).toEqual(new Set(['0:1-2']))
    expect(successor.events.of('lost')).toEqual([])
  })
})
