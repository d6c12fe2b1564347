import { applied, memorySink, retry, HeadwaterError, startWorker, type Sink } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { Call, everyLine, headwater, lastLine, terminalCommand } from './headwater.ts'
import { openShop, shop } from './opened-shop.ts'
import { product, products } from './shop.ts'

openShop()

/** A sink that takes what is offered only while it may. */
function pausableSink(): { sink: Sink; resume: () => void } {
  let paused = true
  const memory = memorySink({ collection: products })
  const sink: Sink = {
    ...memory,
    open: async (options) => ({
      ...(await memory.open(options)),
      apply: async (changes) =>
        changes.map(() => (paused ? retry(new HeadwaterError('SINK_UNAVAILABLE', 'Not now.')) : applied)),
    }),
  }
  return { sink, resume: () => (paused = false) }
}

interface Lag {
  readonly groups: readonly {
    readonly group: string
    readonly lag: number
    readonly waitingSeconds: number | null
  }[]
}

describe('headwater lag', () => {
  it(
    'tells how many changes wait for each group, and for how long the oldest does',
    { timeout: 60_000 },
    async () => {
      const namespace = shop.namespace()
      await using log = await shop.connect(namespace)
      const slow = pausableSink()
      const retryOften = { firstMs: 5, maxMs: 20 }
      const worker = await startWorker(log, {
        groups: { slow: slow.sink, cache: memorySink({ collection: products }) },
        retry: retryOften,
      })
      const began = Date.now()
      for (const sku of ['lamp', 'desk', 'chair']) {
        const { position } = await log.append(products.put(product(sku)))
        await log.whenApplied(position, { group: 'cache' })
      }
      const at = shop.at(namespace)
      const waiting = await headwater(['lag', '--json', ...at])
      expect(waiting).toMatchObject({ ending: 0, stderr: '' })
      const { groups } = lastLine(waiting) as Lag
      expect(groups).toMatchObject([
        { group: 'cache', lag: 0, waitingSeconds: null, behind: [], parked: 0 },
        { group: 'slow', lag: 3, parked: 0 },
      ])
      expect(groups[1]!.waitingSeconds).toBeGreaterThan(0)
      expect(groups[1]!.waitingSeconds).toBeLessThanOrEqual((Date.now() - began) / 1_000 + 1)

      const [over, within, one] = await Promise.all([
        headwater(['lag', '--max', '2', ...at]),
        headwater(['lag', '--max', '3', ...at]),
        headwater(['lag', 'cache', '--max', '0', ...at]),
      ])
      expect([over.ending, within.ending, one.ending]).toEqual([1, 0, 0])
      expect(over.stdout).toMatch(/^slow +3 +\d/m)

      slow.resume()
      await eventually(async () => expect((await log.groups()).every(({ lag }) => lag === 0)).toBe(true))
      await worker.stop()
      const after = lastLine(await headwater(['lag', 'slow', '--json', ...at])) as Lag
      expect(after.groups).toMatchObject([{ lag: 0, waitingSeconds: null, unowned: [0, 1, 2, 3] }])
    },
  )

  it('suggests the group that was meant', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const worker = await startWorker(log, { groups: { reporting: memorySink({ collection: products }) } })
    await worker.stop()
    const misspelt = await headwater(['lag', 'reprting', ...shop.at(namespace)])
    expect(misspelt).toMatchObject({
      ending: 1,
      stderr:
        'headwater: No group "reprting" is registered; there are reporting. Did you mean reporting? [GROUP_UNKNOWN]\n',
    })
  })
})

describe.each(['lag', 'status'])('headwater %s --watch', (command) => {
  it('shows news as a line each with --json, until it is told to stop', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const call = new Call([command, '--watch', '1', '--json', ...shop.at(namespace)])
    await call.says('"groups":[]')
    await using _ = await startWorker(log, { groups: { cache: memorySink({ collection: products }) } })
    await call.says('"group":"cache"')
    call.process.kill('SIGINT')
    const ended = await call.ended()
    expect(ended).toMatchObject({ ending: 0, stderr: '' })
    expect(everyLine(ended).length).toBeGreaterThanOrEqual(2)
  })

  it('draws anew on a terminal', async () => {
    const namespace = shop.namespace()
    await using _ = await shop.connect(namespace)
    const call = new Call([], {
      env: { TERM: 'xterm' },
      program: terminalCommand([command, '--watch', '1', ...shop.at(namespace)]),
    })
    await eventually(() => expect(call.stdout.split('\u001B[H').length).toBeGreaterThan(2))
    expect(call.stdout).toContain('No group is registered')
  })
})
