import { fileURLToPath } from 'node:url'
import { startWorker, type Log, type Worker } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { headwater } from '../cli/headwater.ts'
import { product, products, Shop } from '../cli/shop.ts'
import { codeBlocks } from './code-blocks.ts'

const config = fileURLToPath(new URL('./rebuild.config.ts', import.meta.url))
const blocks = codeBlocks('docs/rebuild.md')
const commands = blocks.filter(({ info, language }) => language === 'sh' && info === 'run')
const outputs = blocks.filter(({ info }) => info === 'output')

let shop: Shop
let replica: Shop
let log: Log
let worker: Worker
let client: Redis
let namespace: string
beforeAll(async () => {
  ;[shop, replica] = await Promise.all([Shop.open(), Shop.open()])
  client = new Redis(replica.server.options)
  namespace = shop.namespace()
  log = await shop.connect(namespace)
  const cache = redisSink({
    client,
    collection: products,
    key: 'product:{version}:{key}',
    versions: { pointer: 'product:version' },
  })
  worker = await startWorker(log, { groups: { cache } })
  for (const sku of ['lamp', 'desk', 'chair']) {
    const { position } = await log.append(products.put(product(sku)))
    await log.whenApplied(position, { group: 'cache' })
  }
})
afterAll(async () => {
  await worker.stop()
  await log.close()
  client.disconnect()
  await Promise.all([shop[Symbol.asyncDispose](), replica[Symbol.asyncDispose]()])
})

/** Times differ from run to run, and the log has markers besides the changes. */
const timeless = (text: string): string =>
  text.replaceAll(/\d+(\.\d+)? (s|min)\b/g, '… s').replaceAll(/\d+ changes again/g, '… changes again')

describe('docs/rebuild.md', () => {
  it('has an output for each block of commands', () => {
    expect(commands.length).toBeGreaterThan(2)
    expect(outputs).toHaveLength(commands.length)
  })

  it.each(commands.map(({ code }, at) => [code.trim(), outputs[at]!.code.trim()]))(
    'says what comes of: %s',
    async (code, output) => {
      const lines: string[] = []
      for (const line of code.split('\n')) {
        const [, ...args] = line.split(' ')
        const ended = await headwater([...args, '--config', config, ...shop.at(namespace)], {
          env: { REPLICA_URL: replica.server.url },
        })
        expect(ended).toMatchObject({ ending: 0 })
        lines.push(ended.stdout.split('\n')[0]!)
      }
      expect(timeless(lines.join('\n'))).toBe(timeless(output))
    },
    120_000,
  )
})
