import type { Redis } from 'ioredis'
import type { Random } from '../support/random.ts'

type Argument = string | number | Buffer

/** Limits of the compact encodings, so small that a few elements reach each of them. */
export const smallEncodings: Readonly<Record<string, string>> = {
  'list-max-ziplist-size': '4',
  'list-compress-depth': '1',
  'hash-max-ziplist-entries': '6',
  'hash-max-ziplist-value': '40',
  'set-max-intset-entries': '6',
  'zset-max-ziplist-entries': '6',
  'zset-max-ziplist-value': '40',
  'stream-node-max-entries': '5',
}

/** Values at the borders of how strings and integers are written. */
function anElement(random: Random, largest: 'short' | 'long' = 'long'): Argument {
  switch (random.below(largest === 'long' ? 8 : 5)) {
    case 0:
      return random.between(-20, 20)
    case 1:
      return random.pick([127, 128, -128, -129, 4095, 4096, -4096, -4097, 8191, 8192, 32767, 32768, -32768])
    case 2:
      return random.pick([
        '2147483647',
        '2147483648',
        '-2147483649',
        '8388607',
        '-8388609',
        '9223372036854775807',
      ])
    case 3:
      return random.pick(['', '00', '-0', '+1', ' 1', '1.0', '9223372036854775808', '-9223372036854775808'])
    case 4:
      return 'compressible '.repeat(random.between(2, 6))
    case 5:
      return random.bytes(random.between(0, 70))
    case 6:
      return random.bytes(random.pick([63, 64, 126, 127, 128, 253, 254, 300, 4095, 4096, 5000]))
    default:
      return `element:${random.below(50)}`
  }
}

function aScore(random: Random): string {
  return random.pick([
    'inf',
    '-inf',
    '-0',
    '0',
    '1',
    '1e300',
    '-2.5e-300',
    '3.141592653589793',
    String(random.below(99)),
  ])
}

function several<T>(random: Random, most: number, make: () => T): T[] {
  return Array.from({ length: random.between(1, most) }, make)
}

type Element = () => Argument

const makers: readonly ((random: Random, key: string, element: Element) => Argument[][])[] = [
  (_, key, element) => [['SET', key, element()]],
  (random, key, element) => [['RPUSH', key, ...several(random, 20, element)]],
  (random, key) => [['SADD', key, ...several(random, 10, () => random.between(-70_000, 70_000))]],
  (random, key, element) => [['SADD', key, ...several(random, 10, element)]],
  (random, key, element) => [['HSET', key, ...several(random, 10, () => [element(), element()]).flat()]],
  (random, key, element) => [['ZADD', key, ...several(random, 10, () => [aScore(random), element()]).flat()]],
  aStream,
]

function aStream(random: Random, key: string, element: Element): Argument[][] {
  const ids = several(random, 18, () => random.between(1, 9)).map(
    (_, index) => `${1 + (index >> 2)}-${index}`,
  )
  const fields = () => several(random, 3, () => [random.pick(['a', 'b', 'c']), element()]).flat()
  const commands: Argument[][] = ids.map((id) => ['XADD', key, id, ...fields()])
  commands.push(
    ['XGROUP', 'CREATE', key, 'idle', '$'],
    ['XGROUP', 'CREATE', key, 'busy', random.pick(['0', '1-1'])],
  )
  commands.push(['XGROUP', 'CREATECONSUMER', key, 'busy', 'waiting'])
  for (const consumer of ['one', 'two'])
    commands.push([
      'XREADGROUP',
      'GROUP',
      'busy',
      consumer,
      'COUNT',
      random.between(1, 6),
      'STREAMS',
      key,
      '>',
    ])
  if (random.chance(0.5)) commands.push(['XACK', key, 'busy', random.pick(ids)])
  // Also entries that are pending.
  for (let left = random.below(4); left > 0; left--) commands.push(['XDEL', key, random.pick(ids)])
  if (random.chance(0.1)) commands.push(['XTRIM', key, 'MAXLEN', 0])
  return commands
}

const library = `#!lua name=mylib
redis.register_function('answer', function() return 42 end)`

/** Fills a server with keys of all types and encodings, in several databases, some of them expiring far in the future. */
export async function fillRandomly(
  client: Redis,
  random: Random,
  keys: number,
  largest: 'short' | 'long' = 'long',
): Promise<void> {
  const element = () => anElement(random, largest)
  const hasFieldExpiry = ((await client.call('COMMAND', 'INFO', 'HPEXPIREAT')) as unknown[])[0] !== null
  const pipeline = client.pipeline()
  const call = (name: Argument, ...args: Argument[]) => pipeline.call(String(name), ...args)
  for (let index = 0; index < keys; index++) {
    if (index % 10 === 0) call('SELECT', random.pick([0, 0, 3, 15]))
    const key = random.chance(0.1) ? random.bytes(8).toString('latin1') + index : `key:${index}`
    for (const [name, ...args] of random.pick(makers)(random, key, element)) call(name!, ...args)
    if (random.chance(0.3)) call('PEXPIREAT', key, Date.now() + random.between(10 ** 8, 10 ** 12))
    if (hasFieldExpiry && random.chance(0.5)) {
      const hash = `hash:${index}`
      const count = random.between(2, 12)
      for (let field = 0; field < count; field++) call('HSET', hash, `field:${field}`, element())
      for (let field = 0; field < count; field += 2)
        call(
          'HPEXPIREAT',
          hash,
          Date.now() + random.between(10 ** 8, 10 ** 10),
          'FIELDS',
          1,
          `field:${field}`,
        )
    }
  }
  call('FUNCTION', 'LOAD', 'REPLACE', library)
  const replies = (await pipeline.exec()) ?? []
  for (const [error] of replies) {
    // XDEL and XACK of what is not there are no errors; everything else has to succeed.
    if (error) throw error
  }
}
