import { createReadStream, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startRedis } from '@headwater/local-servers'
import { describe, expect, it } from 'vitest'
import { givenSeed } from '../support/seed.ts'
import { collect } from './collect.ts'
import { keyspaceOf, keyspaceOfItems } from './keyspace.ts'
import { plainClient } from '../support/plain-client.ts'
import { fillRandomly, smallEncodings } from './random-keyspace.ts'
import { Random } from '../support/random.ts'

const seeds = givenSeed === undefined ? [1, 2] : [givenSeed]

describe.each(seeds)('a dump of a real server, seed %i', (seed) => {
  it.each([
    ['with the usual limits of encodings', {}],
    ['with small limits of encodings', smallEncodings],
    [
      'with large limits of encodings',
      { 'set-max-intset-entries': '4000', 'hash-max-ziplist-value': '8000' },
    ],
    ['without compression and checksum', { rdbcompression: 'no', rdbchecksum: 'no' }],
    ['with an LFU policy', { 'maxmemory-policy': 'allkeys-lfu' }],
    ['with an LRU policy', { 'maxmemory-policy': 'allkeys-lru' }],
  ])('says of every key what the server says, %s', async (_, config) => {
    await using server = await startRedis({ own: true, config: { ...config } })
    await using client = plainClient(server.options)
    await fillRandomly(client, new Random(seed), 150)
    await client.call('SAVE')
    const items = await collect(createReadStream(join(server.dir, 'dump.rdb')))
    expect(keyspaceOfItems(items)).toEqual(await keyspaceOf(client))
    expect(items.some((item) => item.kind === 'function' && item.code.includes("'answer'"))).toBe(true)
    const bytes = readFileSync(join(server.dir, 'dump.rdb')).length
    expect(items.at(-1)).toEqual({ kind: 'end', hasChecksum: !('rdbchecksum' in config), bytes })
  })
})

describe('a dump that arrives in pieces', () => {
  it('is the same however it was cut, byte by byte too', async () => {
    const random = new Random(givenSeed ?? 3)
    await using server = await startRedis({ own: true, config: smallEncodings })
    await using client = plainClient(server.options)
    await fillRandomly(client, random, 40)
    await client.call('SAVE')
    const dump = readFileSync(join(server.dir, 'dump.rdb'))
    const whole = await read([dump])
    expect((await read(pieces(dump, () => 1))) === whole).toBe(true)
    for (let round = 0; round < 20; round++) {
      const most = random.pick([3, 50, 1_000, 100_000])
      expect((await read(pieces(dump, () => random.between(0, most)))) === whole).toBe(true)
    }
  })
})

const read = async (chunks: Iterable<Uint8Array>) => JSON.stringify(keyspaceOfItems(await collect(chunks)))

function* pieces(bytes: Buffer, size: () => number): Generator<Buffer> {
  for (let at = 0; at < bytes.length;) {
    const end = at + size()
    // A copy: a piece must not be read beyond its end.
    yield Buffer.from(bytes.subarray(at, end))
    at = end
  }
}
