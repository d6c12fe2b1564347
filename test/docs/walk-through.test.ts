import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { memorySink, startWorker, type Log, type Worker } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { headwater } from '../cli/headwater.ts'
import { product, products, Shop } from '../cli/shop.ts'
import { drained } from '../worker/test-log.ts'
import { codeBlocks } from './code-blocks.ts'

const config = fileURLToPath(new URL('./rebuild.config.ts', import.meta.url))
const blocks = codeBlocks('docs/operations.md').filter(({ info }) => /^walk\b/.test(info))

let shop: Shop
let replica: Shop
let log: Log
let worker: Worker
let client: Redis
let namespace: string
let folder: string

beforeAll(async () => {
  ;[shop, replica] = await Promise.all([Shop.open(), Shop.open()])
  folder = await mkdtemp(join(tmpdir(), 'headwater-'))
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
  for (const sku of ['lamp', 'desk', 'chair', 'lamp']) {
    const { position } = await log.append(products.put(product(sku)))
    await log.whenApplied(position, { group: 'cache' })
  }
})

afterAll(async () => {
  await worker.stop()
  await log.close()
  client.disconnect()
  await rm(folder, { recursive: true })
  await Promise.all([shop[Symbol.asyncDispose](), replica[Symbol.asyncDispose]()])
})

/** What has happened before the commands of a block, by the word behind `walk`. */
const events: Readonly<Record<string, () => Promise<void>>> = {
  async edited() {
    const version = await client.get('product:version')
    await client.set(`product:${version}:lamp`, JSON.stringify({ ...product('lamp'), name: 'Edited' }))
  },
  async gone() {
    const groups = { 'old-search': memorySink({ collection: products }) }
    const search = await startWorker(log, {
      groups: { 'old-search': { sink: groups['old-search'], start: 'now' } },
    })
    await drained(log, 'old-search')
    await search.stop()
  },
}

describe('the walk-through of docs/operations.md', () => {
  it('has blocks of commands for every part', () => {
    expect(blocks.flatMap(({ code }) => code.trim().split('\n')).length).toBeGreaterThan(25)
  })

  it.each(blocks.map(({ info, code }) => [code.trim(), info] as const))(
    'ends as it says: %s',
    async (code, info) => {
      await events[info.split(' ')[1] ?? '']?.()
      for (const line of code.split('\n')) {
        const [, command = '', said = ''] = /^headwater ([^#]+)(?:#(.*))?$/.exec(line) ?? []
        const args = command.trim().replaceAll('$ARCHIVE', folder).split(' ')
        const ended = await headwater([...args, '--config', config, ...shop.at(namespace)], {
          env: { REPLICA_URL: replica.server.url },
        })
        const expected = /ends with 1:/.test(said) ? 1 : 0
        expect([line, ended.ending, ended.stdout]).toEqual([line, expected, expect.stringMatching(/\S/)])
      }
    },
    120_000,
  )
})
