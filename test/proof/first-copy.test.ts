import { startWorker, verify, type WorkerEvent } from '@headwater/core'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { eventually } from '../support/eventually.ts'
import { openCopyServers, redis, technologies } from '../verify/copy-servers.ts'
import { itemsCollection, openLog } from '../verify/shop.ts'

openCopyServers()
let client: Redis
beforeAll(() => void (client = new Redis(redis.options)))
afterAll(() => client.disconnect())

describe.concurrent.each(Object.keys(technologies))('a %s sink that gets its first copy', (technology) => {
  it('is not provable yet at the markers that come meanwhile, never different, and verified afterwards', async () => {
    const items = itemsCollection()
    await using log = await openLog(redis, items)
    const copy = technologies[technology]!(items)
    const events: WorkerEvent[] = []
    await Promise.all(
      Array.from({ length: 600 }, (_, at) => log.append(items.put({ id: `item-${at}`, count: at }))),
    )
    let written = 0
    try {
      await using worker = await startWorker(log, {
        groups: { copy: { sink: copy.sink, start: 'state', copyKeysPerSecond: 150 } },
        markEveryMs: 100,
        onEvent: (event) => void events.push(event),
      })
      const told = new Set<string>()
      const markers = new Set<string | null>()
      const states = new Set<string>()
      await eventually(
        async () => {
          const id = `item-${++written % 50}`
          await log.append(written % 7 === 0 ? items.delete(id) : items.put({ id, count: written }))
          const statuses = await log.groups()
          for (const { copying, proof } of statuses) {
            if (!copying) continue
            told.add(`${proof.latest} ${String(proof.verifiedUpTo)} ${proof.reason}`)
            markers.add(await client.hget(logParts(log).keys.partitions[0]!.header, 'marked'))
          }
          states.add(worker.health().groups['copy']!.proof.state)
          expect(statuses.length).toBeGreaterThan(0)
          expect(statuses.filter(({ copying }) => copying)).toEqual([])
        },
        { timeoutMs: 20_000 },
      )
      expect(told).toEqual(new Set(['unprovable undefined the sink still gets its first copy']))
      expect(markers.size).toBeGreaterThan(3)
      expect(states).not.toContain('different')
      await eventually(() => expect(worker.health().groups['copy']!.proof.state).toBe('verified'), {
        timeoutMs: 20_000,
      })
      expect(await verify(log, copy.sink)).toMatchObject({ result: 'equal' })
      expect(events.filter(({ kind }) => kind === 'differs')).toEqual([])
    } finally {
      await copy.close()
    }
  })
})
