import { notes } from '@headwater/conformance'
import {
  memorySink,
  purgeIdempotencyRecords,
  purgeProducers,
  purgeTombstones,
  setRetention,
  startWorker,
  trim,
  verify,
  type HeadwaterError,
  type Log,
} from '@headwater/core'
import { startProxy } from '@headwater/local-servers'
import { afterEach, describe, expect, it } from 'vitest'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { Log as LogOf } from '../../packages/core/src/namespace/log.ts'
import { counters } from '../decider/counter.ts'
import { client, log, openOwnLog, server } from '../worker/own-log.ts'
import { drained, openTestLog, partitionKeys } from '../worker/test-log.ts'

openOwnLog({ collections: [notes, counters], idempotencyWindowMs: 1_000 })

afterEach(async () => {
  await client.config('SET', 'maxmemory', '0')
})

const key = (name: string) => `headwater:{${log.namespace}:0}:${name}`
const producers = async () => (await client.hkeys(key('producers'))).filter((name) => name !== '')
const changes = () => client.hget(partitionKeys(log, 'x').header, 'sequence').then(Number)

/** The log as a program has it that was started long ago. */
const startedLongAgo = (of: Log, unique: string) => new LogOf({ ...logParts(of), producer: `1000.${unique}` })
/** What it stored last, it stored long ago. */
async function age(producer: string): Promise<void> {
  const last = (await client.hget(key('producers'), producer))!
  await client.hset(key('producers'), producer, last.replace(/^(\d+ \d+ \d+) \d+\|/, '$1 2000|'))
}

/** The records of the present window were begun long ago. */
const grow = () => client.hset(key('header'), 'results-since', 1)
const append = () => log.append(notes.put({ id: 'lamp', content: 1 }), { idempotencyKey: 'once' })

describe('producers that stored nothing for long', () => {
  it('are forgotten, and the others are not', async () => {
    const [gone, idle] = [startedLongAgo(log, 'gone'), startedLongAgo(log, 'idle')]
    await gone.append(notes.put({ id: 'lamp', content: 1 }))
    await idle.append(notes.put({ id: 'lamp', content: 2 }))
    await log.append(notes.put({ id: 'lamp', content: 3 }))
    await age('1000.gone')
    expect(await purgeProducers(log)).toBe(1)
    expect(await producers()).toEqual(expect.arrayContaining(['1000.idle', logParts(log).producer]))
    expect(await producers()).not.toContain('1000.gone')
    await age('1000.idle')
    await client.config('SET', 'maxmemory', '1')
    expect(await purgeProducers(log)).toBe(1)
  })

  it('go on under another name when they are alive after all', async () => {
    const idle = startedLongAgo(log, 'idle')
    await idle.append(notes.put({ id: 'lamp', content: 1 }))
    await age('1000.idle')
    await purgeProducers(log)
    const results = await Promise.all(
      [2, 3, 4].map((content) => idle.append(notes.put({ id: 'lamp', content }))),
    )
    expect(results.map(({ version }) => version)).toEqual(['2', '3', '4'])
    expect((await producers()).filter((name) => name.endsWith('.idle'))).toEqual([
      expect.stringMatching(/^\d{13}\.idle$/),
    ])
    expect(await changes()).toBe(4)
  })

  it('never store a late retry a second time', async () => {
    await using proxy = await startProxy(server.options)
    await using behind = await openTestLog(
      { ...server.options, ...proxy.address },
      { namespace: log.namespace },
    )
    const frozen = startedLongAgo(behind, 'frozen')
    await frozen.append(notes.put({ id: 'lamp', content: 1 }))
    const lost = proxy.loseReply('EVALSHA')
    proxy.refuse()
    const told = frozen.append(notes.put({ id: 'lamp', content: 2 })).then(
      () => 'stored',
      (error: HeadwaterError) => error.code,
    )
    await lost
    await age('1000.frozen')
    expect(await purgeProducers(log, { dryRun: true })).toBe(1)
    expect(await purgeProducers(log)).toBe(1)
    await proxy.accept()
    expect(await told).toBe('OUTCOME_UNKNOWN')
    expect(await changes()).toBe(2)
    expect(await frozen.append(notes.put({ id: 'lamp', content: 3 }))).toMatchObject({ version: '3' })
  })

  it('are not forgotten within an hour', async () => {
    await expect(purgeProducers(log, { olderThanMs: 1_000 })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
    })
  })
})

describe('idempotency records', () => {
  it('go after one to two windows, also when nobody appends any more', async () => {
    await append()
    expect(await purgeIdempotencyRecords(log)).toBe(0)
    await grow()
    expect(await purgeIdempotencyRecords(log)).toBe(0)
    expect(await append()).toMatchObject({ duplicate: true })
    await grow()
    expect(await purgeIdempotencyRecords(log, { dryRun: true })).toBe(1)
    expect(await purgeIdempotencyRecords(log, { dryRun: true })).toBe(1)
    expect(await purgeIdempotencyRecords(log)).toBe(1)
    expect(await append()).toMatchObject({ duplicate: false, version: '2' })
  })

  it('go on a full server too', async () => {
    await append()
    await grow()
    await purgeIdempotencyRecords(log)
    await grow()
    await client.config('SET', 'maxmemory', '1')
    expect(await purgeIdempotencyRecords(log)).toBe(1)
  })
})

describe('tombstones of the log', () => {
  it('go when their delete is trimmed, and copies stay equal', async () => {
    await setRetention(log, { retentionMs: 0 })
    const copy = memorySink({ collection: notes })
    for (const id of ['a', 'b', 'c']) await log.append(notes.put({ id, content: 1 }))
    await log.append([notes.delete('a'), notes.delete('b')])
    const worker = await startWorker(log, { groups: { copy } })
    await drained(log, 'copy')
    await worker.stop()
    expect(await purgeTombstones(log)).toBe(0)
    await trim(log)
    await log.append(notes.delete('c'))
    const progress: number[] = []
    expect(await purgeTombstones(log, { dryRun: true })).toBe(2)
    expect(await purgeTombstones(log, { onProgress: ({ removed }) => progress.push(removed) })).toBe(2)
    expect(progress.at(-1)).toBe(2)
    const again = await startWorker(log, { groups: { copy } })
    await drained(log, 'copy')
    expect(await verify(log, copy, { group: 'copy' })).toMatchObject({ equal: true })
    expect(await log.append(notes.put({ id: 'a', content: 2 }))).toMatchObject({ version: '1' })
    expect(await log.append(notes.put({ id: 'c', content: 2 }))).toMatchObject({ version: '3' })
    await drained(log, 'copy')
    await again.stop()
    expect(copy.entries().get('a')).toMatchObject({ content: 2 })
    expect(await verify(log, copy, { group: 'copy' })).toMatchObject({ equal: true })
  })

  it('stay where they are of lost history', async () => {
    await log.append([notes.put({ id: 'a', content: 1 }), notes.delete('a')])
    const { header } = partitionKeys(log, 'x')
    await client.hset(header, { trimmed: 2, epoch: 2, 'epoch:2': '1 branch 1' })
    expect(await purgeTombstones(log)).toBe(0)
  })
})
