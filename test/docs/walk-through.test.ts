import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memorySink, startWorker } from '@headwater/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { product, products } from '../cli/shop.ts'
import { drained } from '../worker/test-log.ts'
import { CachedShop } from './cached-shop.ts'
import { codeBlocks } from './code-blocks.ts'

const blocks = codeBlocks('docs/operations.md').filter(({ info }) => /^walk\b/.test(info))

let shop: CachedShop
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headwater-'))
  shop = await CachedShop.open()
  await shop.put('lamp', 'desk', 'chair', 'lamp')
})
afterAll(async () => {
  await rm(folder, { recursive: true })
  await shop[Symbol.asyncDispose]()
})

/** What has happened before the commands of a block, by the word behind `walk`. */
const events: Readonly<Record<string, () => Promise<void>>> = {
  async edited() {
    const version = await shop.client.get('product:version')
    await shop.client.set(`product:${version}:lamp`, JSON.stringify({ ...product('lamp'), name: 'Edited' }))
  },
  async gone() {
    const groups = { 'old-search': memorySink({ collection: products }) }
    const search = await startWorker(shop.log, {
      groups: { 'old-search': { sink: groups['old-search'], start: 'now' } },
    })
    await drained(shop.log, 'old-search')
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
        const ended = await shop.call(...args)
        const expected = /ends with 1:/.test(said) ? 1 : 0
        expect([line, ended.ending, ended.stdout]).toEqual([line, expected, expect.stringMatching(/\S/)])
      }
    },
    120_000,
  )
})
