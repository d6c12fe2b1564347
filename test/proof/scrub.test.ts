import { scrub, startWorker, type ScrubFinding, type WorkerEvent } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openCopyServers, technologies } from '../verify/copy-servers.ts'
import { memoryCopy, type Copy } from '../verify/copies.ts'
import { FollowedCopy } from '../verify/followed-copy.ts'
import { Traffic } from '../verify/shop.ts'

openCopyServers()

describe.each(Object.keys(technologies))('a scrub of a %s sink', (technology) => {
  it('finds what was done behind its back while writes go on, and nothing else', async () => {
    await using given = await FollowedCopy.open(technologies[technology]!)
    const { log, items, copy } = given
    await given.fill(200, (count) => ({ count }))
    const traffic = new Traffic(log, items)
    try {
      await copy.tamper('item-3')
      await copy.lose('item-70')
      await copy.corrupt('item-90')
      await copy.invent('stranger', 'item-50')
      const found: ScrubFinding[] = []
      const report = await scrub(log, copy.sink, {
        group: 'copy',
        onDifference: (finding) => void found.push(finding),
      })
      expect(new Map(found.map(({ key, verdict }) => [key, verdict]))).toEqual(
        new Map([
          ['item-3', 'corrupt'],
          ['item-70', 'missing'],
          ['item-90', 'corrupt'],
          ['stranger', 'foreign'],
        ]),
      )
      expect(report).toMatchObject({ found: 4 })
      expect(report.checked).toBeGreaterThanOrEqual(200)
    } finally {
      await traffic.stop()
    }
  })
})

describe('a scrub', () => {
  it('goes on where it was interrupted, and reads no bucket twice', async () => {
    await using given = await FollowedCopy.open(memoryCopy)
    const { log, copy, worker } = given
    await given.fill(200, (count) => ({ count }))
    await worker.stop()
    const read = new Map<string, number>()
    const counting: Copy['sink'] = {
      ...copy.sink,
      async read(keys) {
        for (const key of keys) read.set(key, (read.get(key) ?? 0) + 1)
        return await copy.sink.read!(keys)
      },
    }
    let found = 0
    await copy.tamper('item-5')
    for (let round = 0; ; round++) {
      const ending = new AbortController()
      let buckets = 0
      const run = scrub(log, counting, {
        group: 'copy',
        signal: ending.signal,
        onProgress: () => {
          if (++buckets === 20) ending.abort(new Error('interrupted'))
        },
        onDifference: () => void found++,
      })
      if (
        await run.then(
          () => true,
          () => false,
        )
      )
        break
      expect(round).toBeLessThan(10)
    }
    expect(read.size).toBe(200)
    expect(found).toBe(1)
    expect(Math.max(...read.values())).toBe(1)
    const { checked } = await scrub(log, copy.sink, { group: 'copy' })
    expect(checked).toBe(200)
    const statuses = await log.groups()
    expect(statuses.reduce((sum, status) => sum + status.scrub.found, 0)).toBe(1)
    expect(statuses.every((status) => status.scrub.completedMsAgo !== undefined)).toBe(true)
  })

  it('keeps to its rate', async () => {
    await using given = await FollowedCopy.open(memoryCopy)
    const { log, copy } = given
    await given.fill(100, (count) => ({ count }))
    const began = performance.now()
    const { checked } = await scrub(log, copy.sink, { group: 'copy', keysPerSecond: 200 })
    expect(checked).toBe(100)
    expect(performance.now() - began).toBeGreaterThan(480)
  })

  it('is gone on with by another worker, and tells of each edited value in every pass', async () => {
    await using given = await FollowedCopy.open(memoryCopy)
    const { log, copy, worker } = given
    await given.fill(100, (count) => ({ count }))
    await worker.stop()
    await copy.tamper('item-42')
    const events: WorkerEvent[] = []
    const scrubbing = (): ReturnType<typeof startWorker> =>
      startWorker(log, {
        groups: { copy: copy.sink },
        scrubKeysPerSecond: 400,
        onEvent: (event) => void events.push(event),
      })
    await using first = await scrubbing()
    await eventually(async () => {
      const begun = (await log.groups()).filter(
        ({ scrub }) => scrub.current ?? scrub.completedMsAgo !== undefined,
      )
      expect(begun.length).toBeGreaterThan(0)
    })
    await first.stop()
    await using second = await scrubbing()
    await eventually(() => {
      expect(events.find(({ kind }) => kind === 'edited')).toMatchObject({
        key: 'item-42',
        verdict: 'corrupt',
      })
    })
    await eventually(async () => {
      expect((await log.groups()).every(({ scrub }) => scrub.completedMsAgo !== undefined)).toBe(true)
    })
    await second.stop()
  })
})
