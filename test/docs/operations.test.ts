import {
  memorySink,
  reject,
  startWorker,
  HeadwaterError,
  type Log,
  type Sink,
  type Worker,
} from '@headwater/core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { headwater } from '../cli/headwater.ts'
import { product, products, Shop } from '../cli/shop.ts'
import { eventually } from '../support/eventually.ts'
import { intercepted } from '../support/intercepted-sink.ts'
import { codeBlocks } from './code-blocks.ts'

let shop: Shop
let log: Log
let worker: Worker
let namespace: string

beforeAll(async () => {
  shop = await Shop.open()
  namespace = shop.namespace()
  log = await shop.connect(namespace)
  const sinks = { cache: pickySink(), reporting: memorySink({ collection: products }) }
  worker = await startWorker(log, { groups: sinks })
  for (const sku of ['lamp', 'desk', 'chair', 'shelf', 'desk'])
    await log.append(products.put(product(sku, 666)))
  await eventually(async () => expect(await log.parking('cache').list()).toHaveLength(4))
  await eventually(async () => expect((await log.groups()).every(({ lag }) => lag === 0)).toBe(true))
})

afterAll(async () => {
  await worker.stop()
  await log.close()
  await shop[Symbol.asyncDispose]()
})

/** Rejects one price, for as long as it stands alone. */
function pickySink(): Sink {
  return intercepted(
    memorySink({ collection: products }),
    async (changes, pass) => {
      const { priceCents } = changes[0]!.value as { priceCents: number }
      if (priceCents === 666) return [reject(new HeadwaterError('SINK_REJECTED', 'Not at that price.'))]
      return await pass(changes)
    },
    { snapshot: false, batch: { changes: 1, bytes: 1_000_000 } },
  )
}

const commands = codeBlocks('docs/operations.md')
  .filter(({ info }) => info === 'operations')
  .flatMap(({ code }) => code.trim().split('\n'))

/** As a shell reads it: words, and quoted words whole. */
function words(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word!)
}

it('shows commands that do what it says', async () => {
  const endings = new Map<string, unknown>()
  for (const command of commands) {
    const [program, ...args] = words(command.replaceAll('$WORKER', worker.name))
    expect(program).toBe('headwater')
    const env = { REDIS_URL: shop.server.url, HEADWATER_NAMESPACE: namespace }
    const { ending, stderr, stdout } = await headwater(args, { env })
    // What is fed back while its sink is not mended is rejected again.
    const expected = /parked (retry|redrive)(?!.*dry-run)/.test(command) ? 1 : 0
    expect({
      command,
      ending,
      stderr: expected === 0 ? stderr.replace(/.*is at version.*\n/, '') : '',
    }).toEqual({
      command,
      ending: expected,
      stderr: '',
    })
    endings.set(command, stdout)
  }
  expect(endings.get('headwater parked list cache')).toContain('SINK_REJECTED: Not at that price.')
  expect(endings.get('headwater parked show cache products lamp')).toContain('"priceCents": 666')
  expect(endings.get('headwater pause cache')).toBe('cache: paused\n')
  expect((await log.parking('cache').list()).map(({ key }) => key).toSorted()).toEqual(['desk', 'shelf'])
  expect(await log.steering.state()).toEqual({ groups: {}, drained: {} })
}, 120_000)
