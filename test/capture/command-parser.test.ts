import { describe, expect, it } from 'vitest'
import {
  CommandParser,
  type StreamCommand,
} from '../../packages/adapters/redis/src/capture/command-parser.ts'
import { holdExpiry } from '../../packages/adapters/redis/src/capture/held-expiry.ts'
import { TransactionAssembler } from '../../packages/adapters/redis/src/capture/source-transaction.ts'
import { Random } from '../support/random.ts'
import { givenSeed } from '../support/seed.ts'

const hold = 2 ** 45
const command = (...args: string[]) =>
  `*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join('')}`
const texts = (commands: readonly StreamCommand[]) =>
  commands.map(({ args, end }) => [end, ...args.map((arg) => arg.toString())])

function parse(bytes: Buffer, size: () => number): StreamCommand[] {
  const parser = new CommandParser(100)
  const commands: StreamCommand[] = []
  for (let at = 0; at < bytes.length;) {
    const end = at + size()
    commands.push(...parser.push(Buffer.from(bytes.subarray(at, end))))
    at = end
  }
  return commands
}

describe('a replication stream', () => {
  const parts = [
    '\n',
    command('SELECT', '0'),
    '\r\n\n',
    command('SET', 'key', 'a\r\n*3\r\n$3'),
    command('MSET', ...Array.from({ length: 300 }, (_, index) => `argument ${index}`)),
    command('SET', 'empty', ''),
    command('SET', 'long', 'x'.repeat(5_000)),
    command('REPLCONF', 'GETACK', '*'),
  ]
  const bytes = Buffer.from(parts.join(''))

  it('is cut into the same commands and offsets however it arrives', () => {
    const random = new Random(givenSeed ?? 1)
    const whole = texts(parse(bytes, () => bytes.length))
    expect(whole.map(([end]) => end)).toEqual(
      parts.flatMap((part, index) =>
        part.startsWith('*') ? [100 + parts.slice(0, index + 1).join('').length] : [],
      ),
    )
    expect(texts(parse(bytes, () => 1))).toEqual(whole)
    for (let split = 1; split < bytes.length; split += 7) {
      let isFirst = true
      const twoPieces = () => (isFirst ? ((isFirst = false), split) : bytes.length)
      expect(texts(parse(bytes, twoPieces)).length).toBe(whole.length)
    }
    for (let round = 0; round < 50; round++)
      expect(texts(parse(bytes, () => random.between(1, 200)))).toEqual(whole)
  })

  it('may hold a hundred thousand arguments, and as many questions how far we are', () => {
    const many = command('DEL', ...Array.from({ length: 100_000 }, (_, at) => `${at}`))
    const questions = command('REPLCONF', 'GETACK', '*').repeat(100_000)
    const parsed = parse(Buffer.from(`${many}${questions}`), () => 65_536)
    expect(parsed.length).toBe(100_001)
    expect(parsed[0]!.args.length).toBe(100_001)
    expect(parsed.at(-1)!.end).toBe(100 + many.length + questions.length)
  })

  it.each([
    ['PING inline', 'PING\r\n'],
    ['a negative count', '*-1\r\n'],
    ['a count without end', '*11111111111111111111111111111111111111'],
    ['a text for a count', '*abc\r\n'],
    ['an argument that is longer than it says', '*1\r\n$3\r\nabcd\r\n'],
    ['an argument without length', '*1\r\nabc\r\n'],
  ])('is refused with the offset where it has %s', (_, text) => {
    expect(() => parse(Buffer.from(text), () => 1)).toThrow(/offset 10\d.*\[SOURCE_REFUSED\]/)
  })
})

const transactions = (database: number, ...commands: string[][]) => {
  const assembler = new TransactionAssembler(database)
  return commands.flatMap((args, index) => {
    const done = assembler.push({ args: args.map((arg) => Buffer.from(arg)), end: index })
    if (done === undefined) return []
    const all = done.commands.map(({ database, args }) => `${database} ${args.join(' ')}`)
    return [[done.end, done.database, ...all]]
  })
}

describe('the transactions of a stream', () => {
  it('keep MULTI to EXEC together, over changes of the database and signs of life', () => {
    const stream = [
      ['SET', 'a', '1'],
      ['SELECT', '3'],
      ['multi'],
      ['SET', 'b', '2'],
      ['SELECT', '1'],
      ['PING'],
      ['SET', 'c', '3'],
      ['EXEC'],
      ['SET', 'd', '4'],
    ]
    expect(transactions(9, ...stream)).toEqual([
      [0, 9, '9 SET a 1'],
      [1, 3],
      [7, 1, '3 SET b 2', '1 SET c 3'],
      [8, 1, '1 SET d 4'],
    ])
  })

  it('are refused when they do not fit together', () => {
    expect(() => transactions(0, ['MULTI'], ['MULTI'])).toThrow('SOURCE_REFUSED')
    expect(() => transactions(0, ['EXEC'])).toThrow('SOURCE_REFUSED')
    expect(() => transactions(0, ['SELECT', 'abc'])).toThrow('SOURCE_REFUSED')
  })
})

describe('a held expiry', () => {
  const now = 1_000_000
  it.each([
    ['SET k v', 'SET k v'],
    ['SET k PX', 'SET k PX'],
    ['SET k v PXAT 5', `SET k v PXAT ${hold + 5}`],
    ['SET k v KEEPTTL', 'SET k v KEEPTTL'],
    ['SET k v GET EX 5', `SET k v GET PXAT ${hold + now + 5_000}`],
    ['SETEX k 5 v', `SET k v PXAT ${hold + now + 5_000}`],
    ['PSETEX k 5 v', `SET k v PXAT ${hold + now + 5}`],
    ['GETEX k PXAT 5', `GETEX k PXAT ${hold + 5}`],
    ['PEXPIREAT k 5 GT', `PEXPIREAT k ${hold + 5}`],
    ['EXPIREAT k 5', `PEXPIREAT k ${hold + 5_000}`],
    ['EXPIRE k 5', `PEXPIREAT k ${hold + now + 5_000}`],
    ['PEXPIREAT k -5', `PEXPIREAT k ${hold}`],
    ['PEXPIREAT k 9223372036854775807', 'PEXPIREAT k 9223372036854775807'],
    ['HPEXPIREAT k 5 NX FIELDS 1 f', `HPEXPIREAT k ${hold + 5} FIELDS 1 f`],
    ['HSETEX k FNX PXAT 5 FIELDS 1 EX 7', `HSETEX k FNX PXAT ${hold + 5} FIELDS 1 EX 7`],
  ])('%s becomes %s', (before, after) => {
    const args = before.split(' ').map((arg) => Buffer.from(arg))
    expect(holdExpiry(args, now).join(' ')).toBe(after)
  })
})
