import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import {
  connect,
  defineCollection,
  HeadwaterError,
  memorySink,
  reject,
  startWorker,
  verify,
  type Log,
  type Outcome,
  type WorkerEvent,
} from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'
import { watchedSink } from '../worker/watched-sink.ts'

let server: RedisServer
let redis: Redis
beforeAll(async () => {
  server = await startRedis()
  redis = new Redis(server.options)
})
afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

const openLog = (partitions = 2): Promise<Log> =>
  connect(server.options, {
    namespace: `${server.namespacePrefix}${randomUUID()}`,
    collections: [notes],
    partitions,
  })

async function appendMany(log: Log, ids: readonly string[], content: number): Promise<void> {
  await Promise.all(ids.map((id) => log.append(notes.put({ id, content }))))
}

const ids = (count: number): string[] => Array.from({ length: count }, (_, at) => `note-${at}`)
const logKey = (log: Log, partition: number): string => `headwater:{${log.namespace}:${partition}}:log`
const copied = (log: Log): Promise<void> =>
  eventually(async () => {
    const groups = await log.groups()
    expect(groups.length).toBeGreaterThan(0)
    expect(groups.filter(({ copying, lag }) => copying !== undefined || lag > 0)).toEqual([])
  })

describe('a group that starts from the state', () => {
  it('gets what every key is now, once, from a log that lacks its beginning, and then what comes', async () => {
    await using log = await openLog()
    for (const content of [1, 2, 3]) await appendMany(log, ids(100), content)
    await log.append(notes.delete('note-7'))
    for (const partition of [0, 1]) await redis.xtrim(logKey(log, partition), 'MAXLEN', 1)

    const sink = watchedSink()
    await using _ = await startWorker(log, { groups: { copy: { sink, start: 'state' } } })
    await copied(log)
    expect(sink.calls.flatMap(({ changes }) => changes)).toHaveLength(100)
    expect(sink.entries().size).toBe(99)
    const { position } = await log.append(notes.put({ id: 'note-7', content: 4 }))
    expect(await log.whenApplied(position, { group: 'copy' })).toBe('applied')
    expect(await verify(log, sink)).toMatchObject({ result: 'equal', checked: 100, copying: [] })
  })

  it('is joined by the changes that come meanwhile, deletes among them, without a quiet period', async () => {
    await using log = await openLog()
    await appendMany(log, ids(3_000), 1)
    const sink = watchedSink()
    const writing = new AbortController()
    const writes = (async () => {
      for (let round = 2; !writing.signal.aborted; round++) {
        await appendMany(log, ids(40), round)
        await Promise.all(ids(20).map((id) => log.append(notes.delete(id))))
      }
    })()
    await using _ = await startWorker(log, {
      groups: { copy: { sink, start: 'state', copyKeysPerSecond: 5_000 } },
    })
    await eventually(async () =>
      expect((await log.groups()).filter(({ copying }) => copying !== undefined)).toEqual([]),
    )
    writing.abort()
    await writes
    await copied(log)
    expect(await verify(log, sink, { digests: false })).toMatchObject({ result: 'equal', checked: 2_980 })
    expect(sink.entries().has('note-3')).toBe(false)
  })

  it('says that it copies, and claims nothing of what is not there yet', async () => {
    await using log = await openLog(1)
    await appendMany(log, ids(50), 1)
    const end = await log.end(0)
    const sink = watchedSink()
    let release!: () => void
    const released = new Promise<void>((resolve) => (release = resolve))
    let reached = false
    sink.answer = async () => {
      reached = true
      await released
      return undefined
    }
    const events: WorkerEvent['kind'][] = []
    await using worker = await startWorker(log, {
      groups: { copy: { sink, start: 'state' } },
      onEvent: ({ kind }) => void events.push(kind),
      stalledAfterMs: 400,
    })
    await eventually(() => expect(reached).toBe(true))
    expect(await log.groups()).toMatchObject([{ checkpoint: end, lag: 0, copying: { copied: 0 } }])
    await expect(log.whenApplied(end, { group: 'copy', timeoutMs: 100 })).rejects.toThrow(/first copy/)
    expect(await verify(log, sink, { timeoutMs: 0 })).toMatchObject({
      result: 'undecided',
      equal: false,
      counts: { behind: 50, missing: 0 },
      copying: [0],
    })
    await eventually(() => expect(worker.health().groups['copy']).toMatchObject({ copying: [0] }))
    release()
    expect(await log.whenApplied(end, { group: 'copy' })).toBe('applied')
    await eventually(() => expect(worker.health().groups['copy']).toMatchObject({ copying: [], ready: true }))
    expect(events).toEqual(['acquired', 'copying', 'copied'])
    expect(await log.groups()).toMatchObject([{ copying: undefined }])
  })

  it('corrects what a target holds from an earlier life, deletes included', async () => {
    await using log = await openLog()
    await appendMany(log, ids(20), 1)
    const first = memorySink({ collection: notes })
    {
      await using _ = await startWorker(log, { groups: { copy: first } })
      await copied(log)
    }
    await log.append(notes.delete('note-3'))
    await appendMany(log, ['note-4'], 2)
    for (const partition of [0, 1]) await redis.xtrim(logKey(log, partition), 'MAXLEN', 1)
    const again = memorySink({ collection: notes, target: first.target })
    await using _ = await startWorker(log, { groups: { again: { sink: again, start: 'state' } } })
    await eventually(async () => {
      const groups = (await log.groups()).filter(({ group }) => group === 'again')
      expect(groups.map(({ copying, lag }) => [copying, lag])).toEqual([
        [undefined, 0],
        [undefined, 0],
      ])
    })
    expect(again.entries().has('note-3')).toBe(false)
    expect(again.entries().get('note-4')).toEqual({ id: 'note-4', content: 2 })
  })

  it('parks what the sink rejects, and copies the rest', async () => {
    await using log = await openLog()
    await appendMany(log, ids(30), 1)
    const sink = watchedSink()
    const refusal = new HeadwaterError('SINK_REJECTED', 'Not this one.')
    const memory = memorySink({ collection: notes, target: sink.target })
    sink.answer = async ({ changes, ...call }): Promise<readonly Outcome[] | undefined> => {
      if (!changes.some(({ key }) => key === 'note-5')) return undefined
      const opened = await memory.open({ lineage: sink.target.lineage!, group: 'copy', ...call })
      const taken = changes.filter(({ key }) => key !== 'note-5')
      const outcomes = await opened.apply(
        taken,
        { epoch: 0, sequence: 0, branch: '' },
        { signal: new AbortController().signal },
      )
      return changes.map(({ key }) =>
        key === 'note-5' ? reject(refusal) : outcomes[taken.findIndex((one) => one.key === key)]!,
      )
    }
    await using _ = await startWorker(log, { groups: { copy: { sink, start: 'state' } } })
    await copied(log)
    expect(sink.entries().size).toBe(29)
    expect((await log.groups()).map(({ parked }) => parked).reduce((a, b) => a + b)).toBe(1)
    const { position } = await log.append(notes.put({ id: 'note-5', content: 2 }))
    expect(await log.whenApplied(position, { group: 'copy' })).toBe('parked')
  })

  it('is refused where there is nothing to start from', async () => {
    await using log = await openLog()
    const events = { ...memorySink({ collection: notes }), takes: 'events' as const }
    await expect(
      startWorker(log, { groups: { copy: { sink: events, start: 'state' } } }),
    ).rejects.toMatchObject({
      code: 'STATE_REQUIRED',
    })
    const versions = defineCollection('versions', {
      schema: z.object({ id: z.string() }),
      key: ({ id }) => id,
      state: 'versions',
    })
    await using other = await connect(server.options, {
      namespace: log.namespace,
      collections: [versions],
      partitions: 2,
    })
    const sink = memorySink({ collection: versions })
    await expect(startWorker(other, { groups: { copy: { sink, start: 'state' } } })).rejects.toMatchObject({
      code: 'STATE_REQUIRED',
    })
    expect(await log.groups()).toEqual([])
  })
})

describe('a group that starts elsewhere', () => {
  it('at the beginning, is refused when retention has removed it, before anything is registered', async () => {
    await using log = await openLog(1)
    for (const content of [1, 2, 3]) await appendMany(log, ids(3), content)
    await redis.xtrim(logKey(log, 0), 'MAXLEN', 1)
    const sink = memorySink({ collection: notes })
    await expect(startWorker(log, { groups: { copy: sink } })).rejects.toMatchObject({
      code: 'HISTORY_TRIMMED',
    })
    expect(await log.groups()).toEqual([])
  })

  it('now, gets what is appended from then on and nothing else', async () => {
    await using log = await openLog()
    await appendMany(log, ids(10), 1)
    const sink = watchedSink()
    await using _ = await startWorker(log, { groups: { copy: { sink, start: 'now' } } })
    await copied(log)
    const { position } = await log.append(notes.put({ id: 'new', content: 1 }))
    expect(await log.whenApplied(position, { group: 'copy' })).toBe('applied')
    expect([...sink.entries().keys()]).toEqual(['new'])
  })
})
