import type { RdbValue } from '@headwater/rdb'
import { describe, expect, it } from 'vitest'
import { collect, onlyEntry } from './collect.ts'
import { bytesOf, dumpOf, int64, longLength, string } from './dump-bytes.ts'
import { keyspaceOfItems } from './keyspace.ts'

// What no server that runs here writes: taken from the description of the formats, byte by byte.
const ziplist = (...entries: (string | Uint8Array)[]) => {
  let previous = 0
  let tail = 10
  let at = 10
  const written = entries.map((entry) => {
    const bytes =
      typeof entry === 'string' ? bytesOf(previous, entry.length, entry) : bytesOf(previous, entry)
    tail = at
    at += bytes.length
    previous = bytes.length
    return bytes
  })
  const header = Buffer.alloc(10)
  header.writeUInt32LE(at + 1, 0)
  header.writeUInt32LE(tail, 4)
  header.writeUInt16LE(entries.length, 8)
  return bytesOf(header, ...written, 0xff)
}
const listpack = (...elements: (string | number)[]) => {
  const written = elements.map((element) => {
    if (typeof element === 'string') return bytesOf(0x80 | element.length, element, element.length + 1)
    if (element >= 0 && element < 128) return bytesOf(element, 1)
    const int = Buffer.alloc(9, 0xf4)
    int.writeBigInt64LE(BigInt(element), 1)
    return bytesOf(int, 9)
  })
  const header = Buffer.alloc(6)
  header.writeUInt32LE(7 + Buffer.concat(written).length, 0)
  header.writeUInt16LE(elements.length, 4)
  return bytesOf(header, ...written, 0xff)
}
const streamId = (ms: number) => bytesOf(Buffer.alloc(7), ms, Buffer.alloc(8))
const texts = (value: RdbValue) =>
  (
    keyspaceOfItems([{ kind: 'entry', database: 0, key: Buffer.from('k'), value }])['0 k'] as {
      value: unknown
    }
  ).value
const valueOf = async (type: number, content: Uint8Array, version?: number) =>
  texts((await onlyEntry(dumpOf(bytesOf(type, string('k'), content), version))).value)

const threeFields = (first: Uint8Array, second: Uint8Array) =>
  bytesOf(3, first, string('a'), string('1'), 0, string('b'), string('2'), second, string('c'), string('3'))

describe('an encoding that servers no longer write', () => {
  it('hash as a zipmap', async () => {
    const zipmap = bytesOf(2, 1, 'a', 1, 0, '1', 1, 'b', 3, 2, 'two', 0, 0, 0xff)
    expect(await valueOf(9, string(zipmap), 2)).toEqual([
      ['a', '1', null],
      ['b', 'two', null],
    ])
    const longField = 'f'.repeat(300)
    const long = bytesOf(1, 254, 44, 1, 0, 0, longField, 254, 44, 1, 0, 0, 0, longField, 0xff)
    expect(await valueOf(9, string(long), 2)).toEqual([[longField, longField, null]])
  })

  it('list, hash and sorted set as a ziplist, with integers of every width', async () => {
    const widths = ziplist(
      'text',
      bytesOf(0xf1),
      bytesOf(0xfd),
      bytesOf(0xfe, 0x80),
      bytesOf(0xc0, 0x00, 0x80),
      bytesOf(0xf0, 0xff, 0xff, 0x7f),
      bytesOf(0xd0, 0, 0, 0, 0x80),
      bytesOf(0xe0, int64(-(2n ** 63n))),
    )
    const elements = ['text', '0', '12', '-128', '-32768', '8388607', '-2147483648', '-9223372036854775808']
    expect(await valueOf(10, string(widths), 6)).toEqual(elements)
    expect(await valueOf(14, bytesOf(2, string(widths), string(ziplist('b'))), 9)).toEqual([...elements, 'b'])
    expect(await valueOf(13, string(ziplist('f', 'v')), 6)).toEqual([['f', 'v', null]])
    expect(await valueOf(12, string(ziplist('a', '1.5', 'b', '-inf', 'c', bytesOf(0xf3))), 6)).toEqual([
      ['a', '1.5'],
      ['b', '-Infinity'],
      ['c', '2'],
    ])
  })

  it('a ziplist whose entry is so long that the next says so in five bytes', async () => {
    const long = 'x'.repeat(300)
    const header = Buffer.alloc(10)
    header.writeUInt32LE(10 + 303 + 7 + 1, 0)
    header.writeUInt32LE(10 + 303, 4)
    header.writeUInt16LE(2, 8)
    const bytes = bytesOf(header, 0, 0x41, 0x2c, long, 0xfe, 0x2f, 1, 0, 0, 1, 'y', 0xff)
    expect(await valueOf(10, string(bytes), 6)).toEqual([long, 'y'])
  })

  it('sorted set with scores as text', async () => {
    const content = bytesOf(3, string('a'), 3, '1.5', string('b'), 254, string('c'), 255)
    expect(await valueOf(3, content, 1)).toEqual([
      ['a', '1.5'],
      ['b', 'Infinity'],
      ['c', '-Infinity'],
    ])
  })

  it('expiry in seconds, and no checksum before version 5', async () => {
    const content = bytesOf(253, Buffer.from([0, 0, 0, 0x40]), 0, string('k'), string('v'))
    const items = await collect([dumpOf(content, 4).subarray(0, -8)])
    expect(items.at(1)).toMatchObject({ kind: 'entry', expiresAtMs: 2n ** 30n * 1000n })
    expect(items.at(-1)).toMatchObject({ kind: 'end', hasChecksum: false })
  })

  it('stream of Redis 5, which knows neither deleted entries nor what was read', async () => {
    const node = listpack(1, 1, 1, 'f', 0, 3, 0, 0, 'gone', 4, 2, 5, 0, 'v', 4)
    const content = bytesOf(
      1,
      string(streamId(7)),
      string(node),
      1,
      12,
      0,
      1,
      string('g'),
      12,
      0,
      1,
      streamId(12),
      int64(1_000),
      3,
      1,
      string('c'),
      int64(2_000),
      1,
      streamId(12),
    )
    expect(await valueOf(15, content, 9)).toEqual({
      entries: [['12-0', ['f', 'v']]],
      lastId: '12-0',
      maxDeletedId: undefined,
      entriesAdded: undefined,
      groups: [
        {
          name: 'g',
          lastDeliveredId: '12-0',
          entriesRead: null,
          consumers: ['c'],
          pending: [['12-0', 'c', '1000', '3']],
        },
      ],
    })
  })
})

describe('hashes whose fields expire', () => {
  const at = 1_800_000_000_000
  const fields = [
    ['a', '1', String(at)],
    ['b', '2', null],
    ['c', '3', String(at + 500)],
  ]

  it('with times as distances from the earliest, and as release candidates wrote them', async () => {
    const relative = bytesOf(int64(at), threeFields(bytesOf(1), bytesOf(0x41, 0xf5)))
    expect(await valueOf(24, relative, 12)).toEqual(fields)
    expect(await valueOf(22, threeFields(longLength(BigInt(at)), longLength(BigInt(at + 500))), 12)).toEqual(
      fields,
    )
  })

  it('as listpacks, and as release candidates wrote them', async () => {
    const packed = string(listpack('a', '1', at, 'c', '3', at + 500, 'b', '2', 0))
    expect(await valueOf(25, bytesOf(int64(at), packed), 12)).toEqual(fields)
    expect(await valueOf(23, packed, 12)).toEqual(fields)
  })
})

describe('functions and hints', () => {
  it('are read, also those of the release candidates of Redis 7.0', async () => {
    const content = bytesOf(
      245,
      string('#!lua name=l\n'),
      246,
      string('old'),
      string('LUA'),
      1,
      string('says'),
      string('return 1'),
      246,
      string('bare'),
      string('LUA'),
      0,
      string('return 2'),
      254,
      3,
      251,
      9,
      2,
      244,
      0x7f,
      0xff,
      9,
      2,
      248,
      0x41,
      0,
      249,
      200,
      0,
      string('k'),
      0xc0,
      0xff,
    )
    const items = await collect([dumpOf(content, 10)])
    expect(items).toEqual([
      { kind: 'header', version: 10 },
      { kind: 'function', code: Buffer.from('#!lua name=l\n') },
      {
        kind: 'pre-release-function',
        name: Buffer.from('old'),
        engine: Buffer.from('LUA'),
        description: Buffer.from('says'),
        code: Buffer.from('return 1'),
      },
      {
        kind: 'pre-release-function',
        name: Buffer.from('bare'),
        engine: Buffer.from('LUA'),
        code: Buffer.from('return 2'),
      },
      { kind: 'database', database: 3 },
      { kind: 'sizes', keys: 9, expiring: 2 },
      { kind: 'slot', slot: 16383, keys: 9, expiring: 2 },
      {
        kind: 'entry',
        database: 3,
        key: Buffer.from('k'),
        value: { type: 'string', value: Buffer.from('-1') },
        idleSeconds: 256n,
        frequency: 200,
      },
      { kind: 'end', hasChecksum: true, bytes: 9 + content.length + 9 },
    ])
  })
})

describe('values of modules', () => {
  // "ReJSON-RL" in 54 bits, and version 3 of its own.
  const characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const id = Array.from('ReJSON-RL').reduce((bits, one) => (bits << 6n) | BigInt(characters.indexOf(one)), 0n)
  const module = longLength((id << 10n) | 3n)
  const parts = bytesOf(1, 5, 2, 6, 3, Buffer.alloc(4), 4, Buffer.alloc(8), 5, string('{}'), 0)
  const dump = dumpOf(
    bytesOf(247, module, 2, 1, parts, 7, string('doc'), module, parts, 0, string('k'), string('v')),
  )

  it('are refused by the name of key and module', async () => {
    await expect(collect([dump])).rejects.toMatchObject({
      code: 'MODULE_VALUE',
      key: Buffer.from('doc'),
      module: 'ReJSON-RL',
      offset: 9 + 10 + parts.length + 2 + 1 + 4,
    })
  })

  it('are passed over when asked to, with their names', async () => {
    expect((await collect([dump], { modules: 'skip' })).slice(1, 4)).toMatchObject([
      { kind: 'module-aux', module: 'ReJSON-RL' },
      { kind: 'module-entry', key: Buffer.from('doc'), module: 'ReJSON-RL' },
      { kind: 'entry', key: Buffer.from('k') },
    ])
  })

  it('are refused in any case when they do not tell how long they are', async () => {
    const opaque = dumpOf(bytesOf(6, string('doc'), module, parts))
    await expect(collect([opaque], { modules: 'skip' })).rejects.toMatchObject({ code: 'MODULE_VALUE' })
  })
})
