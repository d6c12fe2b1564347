import { bullmqSink, jobIdOf, type BullmqSinkOptions, type ChangeJob } from '@headwater/bullmq'
import { changeBuilder, notes, type Note } from '@headwater/conformance'
import {
  isHeadwaterError,
  startWorker,
  type Change,
  type Outcome,
  type Sink,
  type SinkPartition,
} from '@headwater/core'
import { Queue, Worker } from 'bullmq'
import { Cluster, Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { client, server, startOwnRedis } from '../../support/own-redis.ts'
import { appendEach, drained, listClients, openTestLog, statusOf } from '../../worker/test-log.ts'

let queue: Queue<ChangeJob<Note>>

startOwnRedis()

beforeEach(() => {
  queue = new Queue('changes', { connection: client })
})
afterEach(async () => {
  await queue.close()
  await client.config('SET', 'maxmemory', '0')
  await client.config('SET', 'maxmemory-policy', 'noeviction')
  await client.flushall()
})

const sinkOf = (options: Partial<BullmqSinkOptions<Note>> = {}): Sink<Note> =>
  bullmqSink({ client, collection: notes, queue: 'changes', ...options })
const opened = (sink: Sink, token = 1): Promise<SinkPartition> =>
  sink.open({
    lineage: 'log',
    group: 'jobs',
    partition: 0,
    fence: { epoch: 1, token, owner: `worker-${token}` },
  })
const apply = (partition: SinkPartition, changes: readonly Change[]): Promise<readonly Outcome[]> =>
  partition.apply(
    changes,
    { epoch: 1, sequence: changes[0]!.stamp.sequence - 1, branch: '' },
    {
      signal: new AbortController().signal,
    },
  )
const kinds = (outcomes: readonly Outcome[]): string[] => outcomes.map(({ kind }) => kind)
/** The connections that sinks have opened. */
const ours = async () => (await listClients(client)).filter(({ name }) => name.startsWith('headwater-bullmq'))
const waiting = async (): Promise<(string | undefined)[]> =>
  (await queue.getJobs('waiting', 0, -1, true)).map(({ id }) => id)

describe('the jobs of changes', () => {
  it('are done by workers of BullMQ, in the order of appending where one does them', async () => {
    await using log = await openTestLog(server.options)
    const done: ChangeJob<Note>[] = []
    const doer = new Worker<ChangeJob<Note>>('changes', async ({ data }) => void done.push(data), {
      connection: new Redis({ ...server.options, maxRetriesPerRequest: null }),
    })
    const sink = sinkOf()
    const worker = await startWorker(log, { groups: { jobs: sink } })
    await appendEach(log, [1, 2, 3, 4, 5])
    await log.append(notes.delete('lamp'), { metadata: { by: 'me' } })
    await drained(log, 'jobs')
    await worker.stop()
    await sink.close()
    await eventually(() => expect(done).toHaveLength(6))
    expect(done.map(({ value }) => value?.content)).toEqual([1, 2, 3, 4, 5, undefined])
    expect(done.at(-1)).toEqual({
      collection: 'notes',
      key: 'lamp',
      kind: 'delete',
      version: '6',
      position: expect.stringMatching(/^0:\d+-6$/) as unknown,
      time: expect.any(Number) as unknown,
      metadata: { by: 'me' },
    })
    const connection = await doer.getBackend().client
    await doer.close()
    connection.disconnect()
  })

  it('come once, also when they are long done and removed and the change is delivered again', async () => {
    const sink = sinkOf({ job: () => ({ opts: { removeOnComplete: true } }) })
    const log = changeBuilder({ collection: notes })
    const changes = ['a', 'b'].map((id) => log.put({ id, content: 1 }))
    expect(kinds(await apply(await opened(sink), changes))).toEqual(['applied', 'applied'])
    expect(await waiting()).toEqual(changes.map(jobIdOf))
    await queue.drain()
    expect(await client.exists(...changes.map((change) => queue.toKey(jobIdOf(change))))).toBe(0)
    expect(kinds(await apply(await opened(sink, 2), changes))).toEqual(['stale', 'stale'])
    expect(await waiting()).toEqual([])
    await sink.close()
  })

  it('are not added by a worker that lost its partition between its look and its transaction', async () => {
    for (let round = 0; round < 40; round++) {
      const [slow, quick] = [sinkOf(), sinkOf()]
      const log = changeBuilder({ collection: notes })
      const zombie = await opened(slow, 2 * round + 1)
      const writes = (async () => {
        for (;;) await apply(zombie, [log.put({ id: `${round}`, content: 1 })])
      })()
      const fenced = writes.catch((error: unknown) => error)
      await eventually(async () => expect(await waiting()).not.toEqual([]), { everyMs: 1 })
      await opened(quick, 2 * round + 2)
      const added = await queue.getWaitingCount()
      expect(isHeadwaterError(await fenced, 'SINK_FENCED')).toBe(true)
      expect(await queue.getWaitingCount()).toBe(added)
      await Promise.all([slow.close(), quick.close()])
      await client.flushall()
    }
  })

  it('are added later, and not lost, when the server has forgotten the scripts of BullMQ', async () => {
    const sink = sinkOf()
    const log = changeBuilder({ collection: notes })
    const partition = await opened(sink)
    expect(kinds(await apply(partition, [log.put({ id: 'a', content: 1 })]))).toEqual(['applied'])
    await client.script('FLUSH')
    const changes = ['a', 'b'].map((id) => log.put({ id, content: 2 }))
    const [first] = await apply(partition, changes)
    expect(first).toMatchObject({ kind: 'retry', error: { code: 'SINK_UNAVAILABLE' } })
    await eventually(async () =>
      expect(kinds(await apply(partition, changes))).toEqual(['applied', 'applied']),
    )
    expect(await waiting()).toHaveLength(3)
    await sink.close()
  })

  it('come all or none of a batch while the server is full, and all when it has room again', async () => {
    const sink = sinkOf()
    const log = changeBuilder({ collection: notes })
    const partition = await opened(sink)
    await client.config('SET', 'maxmemory', '1')
    const changes = ['a', 'b', 'c'].map((id) => log.put({ id, content: 1 }))
    await expect(apply(partition, changes)).rejects.toMatchObject({ code: 'SINK_UNAVAILABLE' })
    await client.config('SET', 'maxmemory', '0')
    expect(await waiting()).toEqual([])
    await eventually(async () =>
      expect(kinds(await apply(partition, changes))).toEqual(['applied', 'applied', 'applied']),
    )
    await sink.close()
  })

  it('are added again after the server went back to an older copy, from the position that is left', async () => {
    const sink = sinkOf()
    const log = changeBuilder({ collection: notes })
    const partition = await opened(sink)
    await apply(partition, [log.put({ id: 'a', content: 1 })])
    const key = queue.toKey('headwater/notes:0')
    const copy = await client.dumpBuffer(key)
    const lost = log.put({ id: 'b', content: 1 })
    await apply(partition, [lost])
    await client.restore(key, 0, copy, 'REPLACE')
    await queue.remove(jobIdOf(lost))
    await expect(apply(partition, [log.put({ id: 'c', content: 1 })])).rejects.toMatchObject({
      code: 'SINK_FENCED',
      message: expect.stringContaining('lost calls') as unknown,
    })
    await expect(partition.advance({ epoch: 1, sequence: 3, branch: '' })).rejects.toMatchObject({
      code: 'SINK_FENCED',
    })
    const again = await opened(sink, 2)
    expect(again.position).toMatchObject({ sequence: 0 })
    expect(kinds(await apply(again, [lost]))).toEqual(['applied'])
    await sink.close()
  })

  it('can be chosen, named and given options for each change', async () => {
    const sink = sinkOf({
      job: ({ key, kind, value }) =>
        kind === 'delete'
          ? undefined
          : { name: 'index', data: { key, size: value!.content }, opts: { priority: 3, attempts: 5 } },
    })
    const log = changeBuilder({ collection: notes })
    const changes = [log.put({ id: 'a', content: 7 }), log.delete('b')]
    const partition = await opened(sink)
    expect(kinds(await apply(partition, changes))).toEqual(['applied', 'applied'])
    const jobs = await queue.getJobs()
    expect(jobs).toMatchObject([
      { name: 'index', data: { key: 'a', size: 7 }, opts: { priority: 3, attempts: 5 } },
    ])
    expect(kinds(await apply(partition, changes))).toEqual(['stale', 'stale'])
    await sink.close()
  })

  it('that BullMQ would refuse, or that could be skipped, park their change and no other', async () => {
    const options: Record<string, unknown> = {
      id: { opts: { jobId: 'mine' } },
      skipped: { opts: { deduplication: { id: 'one' } } },
      child: { opts: { parent: { id: '1', queue: 'bull:other' } } },
      endless: { data: 1n },
      precise: { opts: { priority: 0.5 } },
      fine: {},
    }
    const sink = sinkOf({ job: ({ key }) => options[key]! })
    const log = changeBuilder({ collection: notes })
    const changes = [...Object.keys(options), 'throws'].map((id) => log.put({ id, content: 1 }))
    const outcomes = await apply(await opened(sink), changes.slice(0, -1))
    expect(kinds(outcomes)).toEqual(['reject', 'reject', 'reject', 'reject', 'reject', 'applied'])
    expect(outcomes[1]).toMatchObject({
      error: { code: 'SINK_REJECTED', message: expect.stringContaining('deduplication') as unknown },
    })
    expect(await waiting()).toEqual([jobIdOf(changes[5]!)])
    await sink.close()
    await using whole = await openTestLog(server.options)
    const picky = sinkOf({
      queue: 'others',
      job: ({ key }) => {
        if (key === 'bad') throw new Error('No template.')
        return {}
      },
    })
    const worker = await startWorker(whole, { groups: { jobs: picky } })
    await appendEach(whole, [1, 2], (content) => (content === 1 ? 'bad' : 'good'))
    await drained(whole, 'jobs')
    expect((await statusOf(whole, 'jobs')).parked).toBe(1)
    await worker.stop()
    await picky.close()
  })
})

describe('a sink of jobs', () => {
  it('refuses options that cannot work', () => {
    const nodes = new Cluster([server.options], { lazyConnect: true })
    const wrong: [Partial<BullmqSinkOptions<Note>>, RegExp][] = [
      [{ queue: 'a:b' }, /`queue` must be a name without ":"/],
      [{ queue: '' }, /`queue`/],
      [{ prefix: '' }, /`prefix`/],
      [{ timeoutMs: 0 }, /`timeoutMs`/],
      [{ client: {} as never }, /`client` must be an ioredis client/],
      [{ client: nodes }, /on a Cluster `queue` needs a hash tag/],
    ]
    for (const [options, says] of wrong) {
      expect(() => sinkOf(options)).toThrow(says)
    }
    nodes.disconnect()
  })

  it('refuses a server that would throw jobs away', async () => {
    const sink = sinkOf()
    await sink.prepare!()
    await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await expect(sink.check!()).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' })
    await sink.close()
  })

  it('opens one connection, and closes it and no other', async () => {
    const sink = sinkOf()
    await Promise.all([1, 2, 3].map(() => sink.prepare!()))
    await eventually(async () => expect(await ours()).toHaveLength(1))
    await sink.close()
    await eventually(async () => expect(await ours()).toEqual([]))
    expect(await client.ping()).toBe('PONG')
  })
})
