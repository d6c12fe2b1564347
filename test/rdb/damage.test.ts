import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc64, readRdb, type RdbEntry } from '@headwater/rdb'
import { startRedis } from '@headwater/local-servers'
import { describe, expect, it } from 'vitest'
import { givenSeed } from '../support/seed.ts'
import { collect, damageOf, onlyEntry } from './collect.ts'
import { bytesOf, checksumOf, dumpOf, int64, longLength, string } from './dump-bytes.ts'
import { answerOf, keyspaceOfItems } from './keyspace.ts'
import { plainClient } from '../support/plain-client.ts'
import { fillRandomly, smallEncodings } from './random-keyspace.ts'
import { Random } from '../support/random.ts'

async function smallDump(seed: number): Promise<Buffer> {
  await using server = await startRedis({ own: true, config: smallEncodings })
  await using client = plainClient(server.options)
  await fillRandomly(client, new Random(seed), 12, 'short')
  await client.call('SAVE')
  return readFileSync(join(server.dir, 'dump.rdb'))
}

const value = (type: number, ...content: (number | string | Uint8Array)[]) =>
  dumpOf(bytesOf(type, string('k'), ...content))
const expiringEntry = (expiry: bigint) =>
  bytesOf(254, 0x67, 0x0f, 252, int64(expiry), 0, string('k'), string('v'))

/** What a server restores: it leaves out fields whose time has passed. The reader gives what stands in the dump. */
function leftAt(nowMs: number, entry: RdbEntry): RdbEntry {
  const { value } = entry
  if (value.type !== 'hash') return entry
  const fields = value.fields.filter(({ expiresAtMs }) => expiresAtMs === undefined || expiresAtMs >= nowMs)
  return { ...entry, value: { ...value, fields } }
}

describe('a dump that was cut off', () => {
  it('is refused at every byte, with the byte at which it ends', async () => {
    const dump = await smallDump(givenSeed ?? 5)
    const other: string[] = []
    for (let length = 0; length < dump.length; length++) {
      const error = await damageOf(dump.subarray(0, length))
      if (error?.code !== 'TRUNCATED' || error.offset !== length) other.push(`${length}: ${error?.message}`)
    }
    expect(other).toEqual([])
  })
})

describe('a dump with flipped bits', () => {
  it('is refused for each of them, by its checksum at the latest', async () => {
    const random = new Random(givenSeed ?? 6)
    const dump = await smallDump(givenSeed ?? 6)
    const unnoticed: number[] = []
    for (let at = 0; at < dump.length; at++) {
      const flipped = Buffer.from(dump)
      flipped[at]! ^= 1 << random.below(8)
      if ((await damageOf(flipped)) === undefined) unnoticed.push(at)
    }
    expect(unnoticed).toEqual([])
  })

  it('is read without harm when the checksum was made to fit', async () => {
    const random = new Random(givenSeed ?? 7)
    const dump = await smallDump(givenSeed ?? 7)
    const beyond: string[] = []
    const codes = new Set<string | undefined>()
    for (let at = 0; at < dump.length - 8; at++) {
      const flipped = Buffer.from(dump.subarray(0, -8))
      flipped[at]! ^= 1 << random.below(8)
      const error = await damageOf(Buffer.concat([flipped, checksumOf(flipped)]))
      if (error !== undefined && error.offset > dump.length) beyond.push(`${at}: ${error.message}`)
      codes.add(error?.code)
    }
    expect(beyond).toEqual([])
    expect([...codes]).toEqual(
      expect.arrayContaining([undefined, 'CORRUPT', 'NOT_RDB', 'VERSION_NOT_SUPPORTED']),
    )
  })

  it('gives the value that a server restores from it, or a typed error', async () => {
    const random = new Random(givenSeed ?? 8)
    // The server checks all of a payload before it takes it.
    await using server = await startRedis({
      own: true,
      config: { ...smallEncodings, 'sanitize-dump-payload': 'yes' },
    })
    await using client = plainClient(server.options)
    await fillRandomly(client, random, 60, 'short')
    await client.select(0)
    let restored = 0
    let refused = 0
    for (const key of (await client.callBuffer('KEYS', '*')) as Buffer[]) {
      const payload = (await client.callBuffer('DUMP', key)) as Buffer
      if (payload.length > 1_000) continue
      for (let at = 0; at < payload.length - 10; at += random.between(1, 3)) {
        const flipped = Buffer.from(payload.subarray(0, -8))
        flipped[at]! ^= 1 << random.below(8)
        const content = bytesOf(flipped[0]!, string('k'), flipped.subarray(1, -2))
        // What we refuse is not given to a server: Valkey 8.1.1 crashes on some damaged streams.
        if ((await damageOf(dumpOf(content))) !== undefined) {
          refused++
          continue
        }
        const repaired = Buffer.concat([flipped, checksumOf(flipped)])
        const theirs = await client.restore('restored', 0, repaired, 'REPLACE').catch(() => undefined)
        if (theirs === undefined) continue
        const [seconds] = await client.time()
        const read = keyspaceOfItems([leftAt(Number(seconds) * 1_000, await onlyEntry(dumpOf(content)))])
        expect(read['0 k'] ?? (await answerOf(client, 'nothing'))).toEqual(await answerOf(client, 'restored'))
        restored++
      }
    }
    expect(restored).toBeGreaterThan(200)
    expect(refused).toBeGreaterThan(200)
  })
})

describe('bytes made to do harm', () => {
  it.each<[string, Buffer, string]>([
    ['no bytes at all', Buffer.alloc(0), 'TRUNCATED'],
    ['another file', Buffer.from('<!DOCTYPE html>'), 'NOT_RDB'],
    ['version 0', Buffer.from('REDIS0000'), 'NOT_RDB'],
    ['version 13', Buffer.from('REDIS0013'), 'VERSION_NOT_SUPPORTED'],
    ['version 9999', Buffer.from('REDIS9999'), 'VERSION_NOT_SUPPORTED'],
    ['a version that is no number', Buffer.from('REDIS00x9'), 'NOT_RDB'],
    ['Valkey 9', Buffer.from('VALKEY080'), 'VERSION_NOT_SUPPORTED'],
    ['an opcode that does not exist', dumpOf(bytesOf(0xf0)), 'CORRUPT'],
    ['a string of 2^31 bytes', value(0, 0x80, 0x80, 0, 0, 0, 'short'), 'ITEM_TOO_LARGE'],
    ['a string of 2^53 bytes', value(0, longLength(2n ** 53n)), 'CORRUPT'],
    ['a string of 2^63 bytes', value(0, longLength(2n ** 63n)), 'CORRUPT'],
    ['a score as text that is none', value(3, 1, string('m'), 253), 'CORRUPT'],
    [
      'a key twice in one listpack',
      value(16, string(bytesOf(15, 0, 0, 0, 4, 0, 0x81, 97, 2, 1, 1, 0x81, 97, 2, 2, 1, 0xff))),
      'CORRUPT',
    ],
    ['a list of 2^32 elements', value(1, 0x80, 0xff, 0xff, 0xff, 0xff, 0), 'CORRUPT'],
    ['a compression bomb', value(0, 0xc3, 4, 0x80, 0x7f, 0xff, 0xff, 0xff, 0, 'x', 0xe0, 0xff), 'CORRUPT'],
    ['a back reference before the beginning', value(0, 0xc3, 4, 4, 0x20, 5, 0, 0), 'CORRUPT'],
    ['a score that is not a number', value(5, 1, string('m'), 0, 0, 0, 0, 0, 0, 0xf8, 0x7f), 'CORRUPT'],
    ['a member that is there twice', value(2, 2, string('m'), string('m')), 'CORRUPT'],
    [
      'an intset that is not sorted',
      value(11, string(bytesOf(2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 0))),
      'CORRUPT',
    ],
    ['a listpack with a wrong length', value(17, string(bytesOf(99, 0, 0, 0, 0, 0, 0xff))), 'CORRUPT'],
    ['a listpack with a wrong count', value(16, string(bytesOf(9, 0, 0, 0, 7, 0, 1, 1, 0xff))), 'CORRUPT'],
    [
      'a listpack with a wrong length backwards',
      value(20, string(bytesOf(9, 0, 0, 0, 1, 0, 1, 9, 0xff))),
      'CORRUPT',
    ],
    ['a list node of an unknown kind', value(18, 1, 9, string('x')), 'CORRUPT'],
    ['an expiry without a key', dumpOf(bytesOf(252, int64(5))), 'CORRUPT'],
    ['database 2^32 - 1', dumpOf(bytesOf(254, 0x80, 0xff, 0xff, 0xff, 0xff)), 'CORRUPT'],
  ])('%s', async (_, dump, code) => {
    expect(await damageOf(dump)).toMatchObject({ code })
  })

  it('takes hints for hints: a database of 2^36 keys that has one', async () => {
    const sizes = bytesOf(251, longLength(2n ** 36n), longLength(2n ** 36n))
    const entry = await onlyEntry(dumpOf(bytesOf(sizes, 0, string('k'), string('v'))))
    expect(entry.value).toEqual({ type: 'string', value: Buffer.from('v') })
  })

  it('takes a length in more bytes than it needs, and one key in two databases', async () => {
    expect((await onlyEntry(value(0, longLength(1n), 'v'))).value).toMatchObject({ value: Buffer.from('v') })
    const twice = dumpOf(bytesOf(254, 0, 0, string('k'), string('a'), 254, 1, 0, string('k'), string('b')))
    const items: unknown[] = []
    for await (const item of readRdb([twice])) items.push(item)
    expect(items).toMatchObject(
      expect.arrayContaining([
        expect.objectContaining({ database: 0, key: Buffer.from('k') }) as object,
        expect.objectContaining({ database: 1, key: Buffer.from('k') }) as object,
      ]) as object,
    )
  })

  it('takes any database, any expiry, and an empty stream', async () => {
    for (const expiry of [-(2n ** 63n), -1n, 0n, 2n ** 63n - 1n]) {
      expect(await onlyEntry(dumpOf(expiringEntry(expiry)))).toMatchObject({
        database: 9999,
        expiresAtMs: expiry,
      })
    }
    const empty = await onlyEntry(value(19, 0, 0, 5, 1, 0, 0, 5, 1, 2, 0))
    expect(empty.value).toMatchObject({ entries: [], lastId: { ms: 5n, sequence: 1n }, entriesAdded: 2n })
  })

  it('names the key, the code and the byte in its message', async () => {
    const error = await damageOf(value(2, 2, string('m'), string('m')))
    expect(error?.message).toBe('A member of a set stands there twice. (at byte 17, key "k") [CORRUPT]')
  })

  it('does not hold more than one item may have', async () => {
    let given = 0
    const endless = function* (): Generator<Buffer> {
      yield dumpOf(bytesOf(0, string('k'), 0x80, 0x7f, 0xff, 0xff, 0xff)).subarray(0, -9)
      for (;;) {
        given += 1_000
        yield Buffer.alloc(1_000)
      }
    }
    await expect(collect(endless(), { itemBytesMax: 100_000 })).rejects.toMatchObject({
      code: 'ITEM_TOO_LARGE',
      offset: 9,
    })
    expect(given).toBeLessThan(200_000)
  })
})

describe('the checksum', () => {
  it('is that of Redis', () => {
    expect(crc64(Buffer.from('123456789')).toString(16)).toBe('e9c6d914c4b8d9ca')
    expect(crc64(Buffer.alloc(0))).toBe(0n)
  })
})
