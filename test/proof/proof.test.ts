import {
  HeadwaterError,
  memorySink,
  reject,
  repair,
  startWorker,
  verify,
  type Change,
  type Log,
  type Sink,
  type Worker,
  type WorkerEvent,
} from '@headwater/core'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { mark } from '../../packages/core/src/proof/mark.ts'
import { eventually } from '../support/eventually.ts'
import { intercepted } from '../support/intercepted-sink.ts'
import { openCopyServers, redis, technologies } from '../verify/copy-servers.ts'
import { memoryCopy, type Copy } from '../verify/copies.ts'
import { caughtUp, itemsCollection, openLog, Traffic } from '../verify/shop.ts'

openCopyServers()
let client: Redis
beforeAll(() => void (client = new Redis(redis.options)))
afterAll(() => client.disconnect())

type Items = ReturnType<typeof itemsCollection>

/** Puts a marker into every partition, and gives where they stand. */
async function markAll(log: Log, collections: readonly string[] = ['items']): Promise<string[]> {
  const { connection, keys } = logParts(log)
  return await Promise.all(
    keys.partitions.map((of) => connection.attempt((one) => mark(one, of, collections, 0), 1_000)),
  )
}

/** Waits until the group is verified up to the end of every partition. */
async function verified(log: Log, group = 'copy'): Promise<void> {
  await eventually(async () => {
    const partitions = (await log.groups()).filter((status) => status.group === group)
    const ends = await Promise.all(partitions.map(({ partition }) => log.end(partition)))
    expect(partitions.map(({ proof }) => proof.verifiedUpTo)).toEqual(ends)
    expect(partitions.map(({ proof }) => [proof.latest, proof.reason])).toEqual(
      ends.map(() => ['equal', undefined]),
    )
  })
}

function startCopying(
  log: Log,
  copy: Pick<Copy, 'sink'>,
  events: WorkerEvent[],
  markEveryMs = 200,
): Promise<Worker> {
  return startWorker(log, {
    groups: { copy: copy.sink },
    leaseMs: 4_000,
    retry: { firstMs: 10, maxMs: 100 },
    markEveryMs,
    onEvent: (event) => void events.push(event),
  })
}

describe.each(Object.keys(technologies))('a %s sink at the markers of the log', (technology) => {
  const withCopy = async (
    test: (given: {
      log: Log
      items: Items
      copy: Copy
      events: WorkerEvent[]
      worker: Worker
    }) => Promise<void>,
  ): Promise<void> => {
    const items = itemsCollection()
    const log = await openLog(redis, items)
    const copy = technologies[technology]!(items)
    const events: WorkerEvent[] = []
    try {
      await using worker = await startCopying(log, copy, events)
      await test({ log, items, copy, events, worker })
    } finally {
      await copy.close()
      await log.close()
    }
  }

  it('is proven equal again and again while writes go on, and never called different', () =>
    withCopy(async ({ log, items, events, worker }) => {
      const traffic = new Traffic(log, items)
      const positions = new Set<string>()
      try {
        await eventually(async () => {
          for (const { proof } of await log.groups())
            if (proof.verifiedUpTo) positions.add(proof.verifiedUpTo)
          expect(positions.size).toBeGreaterThan(4)
        })
      } finally {
        await traffic.stop()
      }
      await verified(log)
      await eventually(() => expect(worker.health().groups['copy']!.proof.state).toBe('verified'))
      expect(worker.health().groups['copy']!.proof.ageMs).toBeLessThan(10_000)
      expect(events.filter(({ kind }) => kind === 'differs')).toEqual([])
    }))

  it('is looked at again where nothing was appended, without another marker', () =>
    withCopy(async ({ log, items }) => {
      await Promise.all(
        Array.from({ length: 40 }, (_, at) => log.append(items.put({ id: `item-${at}`, count: at }))),
      )
      await verified(log)
      const ends = await Promise.all(Array.from({ length: log.partitions }, (_, at) => log.end(at)))
      const { verifiedMsAgo: before = 0 } = (await log.groups())[0]!.proof
      await eventually(async () => {
        const { verifiedMsAgo = 0 } = (await log.groups())[0]!.proof
        expect(verifiedMsAgo).toBeLessThan(before)
      })
      expect(await Promise.all(ends.map((_, at) => log.end(at)))).toEqual(ends)
    }))

  it('is called different for what was lost behind its back once its sums say so, and proven again when that is repaired', () =>
    withCopy(async ({ log, items, copy, events, worker }) => {
      await Promise.all(
        Array.from({ length: 60 }, (_, at) => log.append(items.put({ id: `item-${at}`, count: at }))),
      )
      await verified(log)
      await copy.lose('item-7')
      // Redis keeps its sums as it applies: without this it would be for a scrub to find.
      if (technology === 'redis') await forgetSums()
      await eventually(() => expect(events.filter(({ kind }) => kind === 'differs')).toHaveLength(1))
      expect(events.find(({ kind }) => kind === 'differs')).toMatchObject({ found: '1 missing' })
      await eventually(() => expect(worker.health().groups['copy']!.proof.state).toBe('different'))
      const report = await verify(log, copy.sink)
      expect((await repair(log, copy.sink, report)).mended).toBe(1)
      await verified(log)
      await eventually(() => expect(worker.health().groups['copy']!.proof.state).toBe('verified'))
    }))

  it('is proven equal beside keys that are parked, whatever comes behind them', () =>
    withCopy(async ({ log, items, copy, worker }) => {
      await worker.stop()
      await log.append(items.put({ id: 'good', count: 1 }))
      const picky = rejecting(copy, (count) => count < 0)
      await using second = await startCopying(log, { sink: picky }, [])
      await Promise.all(
        Array.from({ length: 20 }, (_, at) => log.append(items.put({ id: `item-${at}`, count: at - 4 }))),
      )
      await verified(log)
      await log.append(items.put({ id: 'item-1', count: 7 }))
      await log.append(items.put({ id: 'item-9', count: 8 }))
      await verified(log)
      expect((await log.groups()).reduce((sum, { parked }) => sum + parked, 0)).toBe(4)
      await second.stop()
    }))
})

describe('a marker in the log', () => {
  it('is no change to whoever reads, follows or waits, and leaves no gap', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    await using feed = log.feed(items, { from: 'beginning' })
    const heard: string[] = []
    const listening = (async () => {
      for await (const change of feed) {
        heard.push(`${change.key} ${change.version}`)
        if (heard.length === 3) return
      }
    })()
    const { position } = await log.append(items.put({ id: 'lamp', count: 1 }))
    const partition = Number(position.split(':')[0])
    expect((await markAll(log))[partition]).toBe('marked')
    await log.append(items.put({ id: 'lamp', count: 2 }))
    expect((await markAll(log))[partition]).toBe('marked')
    await log.append(items.put({ id: 'lamp', count: 3 }))
    expect((await markAll(log))[partition]).toBe('marked')
    await listening
    expect(heard).toEqual(['lamp 1', 'lamp 2', 'lamp 3'])
    const read = []
    for await (const change of log.read(partition))
      read.push([change.collection, change.stamp.sequence, change.version])
    expect(read).toEqual([
      ['items', 1, '1'],
      ['items', 3, '2'],
      ['items', 5, '3'],
    ])
    const versions = []
    for await (const { version } of log.history(items, 'lamp')) versions.push(version)
    expect(versions).toEqual(['1', '2', '3'])
    expect(await log.getAt(items, 'lamp', { position: `${partition}:1-4` as typeof position })).toMatchObject(
      {
        value: { count: 2 },
      },
    )
    const copy = memorySink({ collection: items })
    await using worker = await startWorker(log, { groups: { copy } })
    const end = await log.end(partition)
    expect(end).toBe(`${partition}:1-6`)
    expect(await log.whenApplied(end, { group: 'copy' })).toBe('applied')
    expect(copy.entries().get('lamp')).toEqual({ id: 'lamp', count: 3 })
    await worker.stop()
  })

  it('is put there once, however many workers ask, and not where nothing was appended since', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const { connection, keys } = logParts(log)
    const ask = (betweenMs: number): Promise<string> =>
      connection.attempt((one) => mark(one, keys.partitions[0]!, ['items'], betweenMs), 1_000)
    expect(await ask(0)).toBe('empty')
    await fillPartition(log, items)
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(60_000)))
    expect(answers.toSorted()).toEqual(['marked', ...Array.from({ length: 9 }, () => 'unchanged')])
    await fillPartition(log, items)
    expect(await ask(60_000)).toBe('recent')
    expect(await ask(0)).toBe('marked')
  })

  it('never makes a copy different that is ahead of it, because another group writes to it too', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const copy = memoryCopy(items)
    const first: WorkerEvent[] = []
    await using ahead = await startCopying(log, copy, first)
    for (let round = 0; round < 5; round++) {
      await Promise.all(
        Array.from({ length: 40 }, (_, at) => log.append(items.put({ id: `item-${at}`, count: round }))),
      )
      await markAll(log)
    }
    await caughtUp(log)
    const second: WorkerEvent[] = []
    await using behind = await startWorker(log, {
      groups: { late: copy.sink },
      markEveryMs: 200,
      onEvent: (event) => void second.push(event),
    })
    await verified(log, 'late')
    expect([...first, ...second].filter(({ kind }) => kind === 'differs')).toEqual([])
    await Promise.all([ahead.stop(), behind.stop()])
  })

  it('says of a sink that cannot sum up what it holds that nothing can be proven', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const full = memorySink({ collection: items })
    const sink: Sink = {
      name: 'rows that nobody sums up',
      collection: items,
      capabilities: {
        ...full.capabilities,
        list: false,
        read: false,
        replace: false,
        digest: false,
        snapshot: false,
      },
      async open(options) {
        const opened = await full.open(options)
        return {
          position: opened.position,
          apply: (...given) => opened.apply(...given),
          advance: (position) => opened.advance(position),
          close: () => opened.close(),
        }
      },
      close: () => full.close(),
    }
    await using worker = await startCopying(log, { sink }, [])
    await fillPartition(log, items)
    await eventually(async () => {
      const [status] = await log.groups()
      expect(status!.proof).toMatchObject({ latest: 'unprovable', verifiedUpTo: undefined })
      expect(status!.proof.reason).toContain('cannot sum up')
    })
    await worker.stop()
  })
})

/** Enough keys that each of the four partitions has some. */
async function fillPartition(log: Log, items: Items): Promise<void> {
  await Promise.all(
    Array.from({ length: 40 }, (_, at) => log.append(items.put({ id: `item-${at}`, count: at }))),
  )
}

/** Kept sums that are off, as after a restore of some keys. */
async function forgetSums(): Promise<void> {
  const keys = await client.keys('*:sums:*')
  if (keys.length > 0) await client.del(keys)
}

const poison = reject(new HeadwaterError('SINK_REJECTED', 'Counts are not negative here.'))

/** The sink of a copy, which can never hold some counts. */
function rejecting({ sink }: Copy, isBad: (count: number) => boolean): Copy['sink'] {
  const isPoison = (change: Change): boolean =>
    change.kind === 'put' && isBad((change.value as { count: number }).count)
  return intercepted(sink, async (changes, pass) => {
    const good = changes.filter((change) => !isPoison(change))
    const outcomes = good.length > 0 ? await pass(good) : []
    let at = 0
    return changes.map((change) => (isPoison(change) ? poison : outcomes[at++]!))
  })
}
