import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import {
  cancelRebuild,
  connect,
  HeadwaterError,
  memorySink,
  rebuild,
  reject,
  retry,
  startWorker,
  verify,
  type Log,
  type RebuildProgress,
  type Sink,
} from '@headwater/core'
import {
  startCluster,
  startPostgres,
  startRedis,
  type PostgresServer,
  type RedisCluster,
  type RedisServer,
} from '@headwater/local-servers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { intercepted } from '../support/intercepted-sink.ts'
import { pointedCluster, pointedRedis, postgresTable, swappedRedis, type VersionedTarget } from './targets.ts'

let redis: RedisServer
let postgres: PostgresServer
let cluster: RedisCluster
beforeAll(async () => {
  ;[redis, postgres, cluster] = await Promise.all([startRedis(), startPostgres(), startCluster()])
})
afterAll(() => Promise.all([redis.stop(), postgres.stop(), cluster.stop()]))

const openLog = (): Promise<Log> =>
  connect(redis.options, {
    namespace: `${redis.namespacePrefix}${randomUUID()}`,
    collections: [notes],
    partitions: 2,
  })

const ids = (count: number): string[] => Array.from({ length: count }, (_, at) => `note-${at}`)
const append = async (log: Log, of: readonly string[], content: number): Promise<void> => {
  await Promise.all(of.map((id) => log.append(notes.put({ id, content }))))
}

async function applied(log: Log, group = 'copy'): Promise<void> {
  for (let partition = 0; partition < log.partitions; partition++) {
    const end = await log.end(partition)
    if (!end.endsWith('-0')) await log.whenApplied(end, { group, timeoutMs: 20_000 })
  }
}

/** A sink that takes everything but one key. */
function rejecting(sink: Sink, bad: string): Sink {
  const refusal = new HeadwaterError('SINK_REJECTED', 'Not this one.')
  return intercepted(sink, async (changes, pass) => {
    const outcomes = await pass(changes)
    return changes.map(({ key }, at) => (key === bad ? reject(refusal) : outcomes[at]!))
  })
}

const kinds: readonly [string, () => VersionedTarget][] = [
  ['redis behind a pointer', () => pointedRedis(redis)],
  ['redis in a database of its own', () => swappedRedis(redis)],
  ['a postgres table', () => postgresTable(postgres)],
]

describe.each(kinds)('a rebuild of %s', (_name, open) => {
  let target: VersionedTarget
  let log: Log
  beforeEach(async () => {
    target = open()
    log = await openLog()
  })
  afterEach(async () => {
    await log.close()
    await target.close()
  })

  it('brings readers and workers to a new version under traffic, and drops nothing until it is told to', async () => {
    await append(log, ids(400), 1)
    const sink = target.sink()
    await using _ = await startWorker(log, { groups: { copy: sink } })
    await applied(log)
    const writing = new AbortController()
    let round = 1
    const writes = (async () => {
      while (!writing.signal.aborted) {
        round++
        await append(log, ids(30), round)
        await log.append(notes.delete(`note-${round % 30}`))
      }
    })()
    const phases = new Set<RebuildProgress['phase']>()
    // Readers see one whole version or the other: never fewer keys than were left.
    let seenLeast = Number.POSITIVE_INFINITY
    const reading = (async () => {
      while (!writing.signal.aborted) seenLeast = Math.min(seenLeast, (await target.dump()).size)
    })()
    const report = await rebuild(log, target.sink(), {
      group: 'copy',
      onProgress: ({ phase }) => phases.add(phase),
    })
    expect(report).toMatchObject({ group: 'copy', version: 2, previous: 1, switched: true })
    expect(phases).toContain('switching')
    await append(log, ['after'], 1)
    await applied(log)
    writing.abort()
    await Promise.all([writes, reading])
    await applied(log)
    expect(await verify(log, target.sink(), { group: 'copy', digests: false })).toMatchObject({
      result: 'equal',
    })
    const seen = await target.dump()
    expect(seen.get('after')).toEqual({ id: 'after', content: 1 })
    expect(seenLeast).toBeGreaterThanOrEqual(370)
    expect((await log.groups()).map(({ group }) => group)).toEqual(['copy', 'copy'])

    expect(await sink.versions!.list()).toEqual({ current: 2, others: [1] })
    await expect(sink.versions!.drop(2)).rejects.toMatchObject({ code: 'OPTION_INVALID' })
    await sink.versions!.drop(1)
    await sink.versions!.drop(1)
    expect(await sink.versions!.list()).toEqual({ current: 2, others: [] })
    expect((await target.dump()).size).toBe(seen.size)
    // And once more, with the next number.
    expect(await rebuild(log, target.sink(), { group: 'copy' })).toMatchObject({ version: 3, previous: 2 })
    expect(await verify(log, target.sink(), { group: 'copy' })).toMatchObject({ result: 'equal' })
  })

  it('only builds where it is told so, shows nothing of it, and goes on from there', async () => {
    await append(log, ids(100), 1)
    const sink = target.sink()
    await using _ = await startWorker(log, { groups: { copy: sink } })
    await applied(log)
    expect(await rebuild(log, target.sink(), { group: 'copy', switch: false })).toMatchObject({
      switched: false,
    })
    await append(log, ids(50), 2)
    await applied(log)
    expect(await sink.versions!.list()).toEqual({ current: 1, others: [2] })
    expect((await target.dump()).size).toBe(100)
    expect((await log.groups()).filter(({ group }) => group === 'copy.v2')).toHaveLength(2)
    expect(await rebuild(log, target.sink(), { group: 'copy' })).toMatchObject({ version: 2, switched: true })
    expect((await target.dump()).get('note-3')).toEqual({ id: 'note-3', content: 2 })
  })

  it('is given up by a command, and leaves nothing of itself', async () => {
    await append(log, ids(100), 1)
    const sink = target.sink()
    await using _ = await startWorker(log, { groups: { copy: sink } })
    await applied(log)
    const stop = new AbortController()
    await expect(
      rebuild(log, target.sink(), {
        group: 'copy',
        keysPerSecond: 20,
        signal: stop.signal,
        onProgress: ({ copied }) => copied > 0 && stop.abort(new Error('stopped by us')),
      }),
    ).rejects.toThrow('stopped by us')
    expect(await cancelRebuild(log, target.sink(), { group: 'copy' })).toEqual([2])
    expect(await sink.versions!.list()).toEqual({ current: 1, others: [] })
    expect((await log.groups()).map(({ group }) => group)).toEqual(['copy', 'copy'])
    expect(await cancelRebuild(log, target.sink(), { group: 'copy' })).toEqual([])
  })

  it('does not switch while the new version rejects keys that readers have', async () => {
    await append(log, ids(20), 1)
    await using _ = await startWorker(log, { groups: { copy: target.sink() } })
    await applied(log)
    const sink = target.sink()
    const versions = sink.versions!
    const picky: Sink = {
      ...sink,
      versions: {
        list: () => versions.list(),
        open: (version) => rejecting(versions.open(version), 'note-7'),
        switchTo: (version, right) => versions.switchTo(version, right),
        drop: (version) => versions.drop(version),
      },
    }
    await expect(rebuild(log, picky, { group: 'copy' })).rejects.toMatchObject({ code: 'REBUILD_BLOCKED' })
    expect((await versions.list()).current).toBe(1)
    expect((await target.dump()).size).toBe(20)
  })

  it('is refused to whoever does not own the partitions, and ends the old version for those who do not know', async () => {
    await append(log, ids(10), 1)
    const sink = target.sink()
    await using _ = await startWorker(log, { groups: { copy: sink } })
    await applied(log)
    const { versions } = target.sink()
    await versions!.open(2).prepare!()
    const fences = [0, 1].map(() => ({ epoch: 1, token: 999, owner: 'nobody' }))
    await expect(versions!.switchTo(2, { group: 'copy', fences, builtBy: 'copy.v2' })).rejects.toMatchObject({
      code: 'SINK_FENCED',
    })

    const { lineage } = logParts(log).metadata
    const zombie = await sink.open({ lineage, group: 'other', partition: 0, fence: fences[0]! })
    expect(await rebuild(log, target.sink(), { group: 'copy' })).toMatchObject({ switched: true })
    const position = { epoch: 1, sequence: 1, branch: '' }
    await expect(zombie.advance(position)).rejects.toMatchObject({ code: 'SINK_FENCED' })
    const signal = new AbortController().signal
    await expect(zombie.apply([], position, { signal })).rejects.toMatchObject({ code: 'SINK_FENCED' })
  })
})

// Cross-slot commands would show at once; the rest is as on one server, where a look at all rows is faster.
it('a rebuild on a redis cluster switches readers and workers, and drops the old version from all slots', async () => {
  const target = pointedCluster(cluster)
  await using log = await openLog()
  await append(log, ids(200), 1)
  const sink = target.sink()
  await using _ = await startWorker(log, { groups: { copy: sink } })
  await applied(log)
  expect(await rebuild(log, target.sink(), { group: 'copy' })).toMatchObject({ version: 2, switched: true })
  await log.append(notes.delete('note-7'))
  await append(log, ['after'], 1)
  await applied(log)
  expect(await verify(log, target.sink(), { group: 'copy' })).toMatchObject({ result: 'equal' })
  const seen = await target.dump()
  expect([seen.size, seen.get('after')]).toEqual([200, { id: 'after', content: 1 }])
  await sink.versions!.drop(1)
  expect(await sink.versions!.list()).toEqual({ current: 2, others: [] })
  expect(await target.left(1)).toEqual([])
  expect((await target.dump()).size).toBe(200)
  await target.close()
})

it('a rebuild that does not catch up says so, gives up when it is told to, and goes on when it is called again', async () => {
  await using log = await openLog()
  await append(log, ids(3_000), 1)
  const target = pointedRedis(redis)
  await using _ = await startWorker(log, { groups: { copy: target.sink() } })
  await applied(log)
  const sink = target.sink()
  const versions = sink.versions!
  const notNow = retry(new HeadwaterError('SINK_UNAVAILABLE', 'Not now.'))
  const standing: Sink = {
    ...sink,
    versions: {
      ...versions,
      open: (version) => intercepted(versions.open(version), async (changes) => changes.map(() => notNow)),
    },
  }
  let longest = 0
  const onProgress = ({ notCloserMs }: RebuildProgress): void =>
    void (longest = Math.max(longest, notCloserMs))
  const options = { group: 'copy', start: 'beginning', onProgress } as const
  const stuck = rebuild(log, standing, { ...options, giveUpAfterMs: 2_500 })
  await expect(stuck).rejects.toThrow(/3000 changes behind, and has not come closer for \d s/)
  expect(longest).toBeGreaterThan(2_000)
  expect(await rebuild(log, sink, options)).toMatchObject({ version: 2, switched: true })
  await target.close()
})

it('a sink without versions is refused, and so is a group that nobody knows', async () => {
  await using log = await openLog()
  await expect(rebuild(log, memorySink({ collection: notes }), { group: 'copy' })).rejects.toMatchObject({
    code: 'SINK_CONTRACT',
  })
  const target = pointedRedis(redis)
  await expect(rebuild(log, target.sink(), { group: 'copy' })).rejects.toMatchObject({
    code: 'GROUP_UNKNOWN',
  })
  await target.close()
})
