import type { Redis } from 'ioredis'
import type { Random } from '../support/random.ts'

type Argument = string | number

const scripts = [
  `redis.call('SET', KEYS[1], ARGV[1]) redis.call('PEXPIRE', KEYS[1], 90) redis.call('RPUSH', KEYS[1] .. ':list', ARGV[1])`,
  // What is moved between servers arrives so.
  `local payload = redis.call('DUMP', KEYS[1]) if payload then redis.call('RESTORE', ARGV[2], ARGV[3], payload, 'REPLACE') end`,
  `for i = 1, 3 do redis.call('HINCRBY', KEYS[1] .. ':hash', 'field' .. i, i) end redis.call('DEL', KEYS[1])`,
]

const kinds = ['string', 'list', 'set', 'hash', 'zset', 'stream', 'counter'] as const

/** One random command over all types; some fail, as an application's do. `anyType`: keys are now of this type, now of that. */
function aCommand(random: Random, anyType: boolean): Argument[] {
  const kind = random.pick(kinds)
  const name = anyType ? 'key' : kind
  const key = `${name}:${random.below(12)}`
  const other = `${name}:${random.below(12)}`
  const value = `value ${random.below(1_000)}`
  const field = `f${random.below(9)}`
  const generic: Argument[][] = [
    ['DEL', key],
    ['UNLINK', key, other],
    ['RENAME', key, other],
    ['RENAMENX', key, other],
    ['COPY', key, other, 'REPLACE'],
    ['COPY', key, other, 'DB', random.below(3)],
    ['MOVE', key, random.below(3)],
    ['PERSIST', key],
    ['PEXPIRE', key, random.pick([1, 30, 200, 10_000_000])],
    ['EXPIREAT', key, 1],
    ['PEXPIRE', key, 50_000_000, random.pick(['NX', 'XX', 'GT', 'LT'])],
  ]
  if (random.chance(0.25)) return random.pick(generic)
  switch (kind) {
    case 'string':
      return random.pick<Argument[]>([
        ['SET', key, value],
        ['SET', key, value, 'PX', random.pick([20, 100, 20_000_000])],
        ['SET', key, value, anyType ? 'XX' : 'KEEPTTL'],
        ['BITOP', 'NOT', other, key],
        ['SETEX', key, 30_000, value],
        ['GETEX', key, 'PX', random.pick([40, 30_000_000])],
        ['GETDEL', key],
        ['APPEND', key, value],
        ['SETRANGE', key, random.below(20), 'x'],
        ['SETBIT', key, random.below(200), 1],
        ['MSET', key, value, other, value],
        ['PFADD', `hll:${random.below(3)}`, value],
      ])
    case 'counter':
      return random.pick<Argument[]>([
        ['INCR', key],
        ['INCRBYFLOAT', key, '0.1'],
        ['DECRBY', key, random.below(9)],
      ])
    case 'list':
      return random.pick<Argument[]>([
        ['RPUSH', key, value, value, random.below(99)],
        ['LPUSH', key, value],
        ['LPOP', key],
        ['LMOVE', key, other, 'LEFT', 'RIGHT'],
        ['LTRIM', key, 0, 20],
        ['LINSERT', key, 'BEFORE', value, 'inserted'],
        ['BLPOP', key, other, 0.01],
      ])
    case 'set':
      return random.pick<Argument[]>([
        ['SADD', key, random.below(99), value],
        ['SPOP', key, random.between(1, 3)],
        ['SMOVE', key, other, value],
        ['SUNIONSTORE', key, other, `${name}:${random.below(12)}`],
        ['SINTERSTORE', key, other, 'set:nobody'],
      ])
    case 'hash':
      return random.pick<Argument[]>([
        ['HSET', key, field, value, 'other', random.below(99)],
        ['HDEL', key, field],
        ['HINCRBYFLOAT', key, 'number', '1.5'],
      ])
    case 'zset':
      return random.pick<Argument[]>([
        ['ZADD', key, random.pick(['inf', '-inf', '1.5', '3']), value, random.below(99), field],
        ['ZINCRBY', key, '0.3', field],
        ['ZPOPMIN', key],
        ['ZRANGESTORE', key, other, 0, 3],
      ])
    default:
      return random.pick<Argument[]>([
        ['XADD', key, '*', field, value],
        ['XADD', key, 'MAXLEN', '~', 10, '*', field, value],
        ['XGROUP', 'CREATE', key, 'group', random.pick(['0', '$']), 'MKSTREAM'],
        ['XREADGROUP', 'GROUP', 'group', random.pick(['a', 'b']), 'COUNT', 3, 'STREAMS', key, '>'],
        ['XAUTOCLAIM', key, 'group', 'c', 0, '0'],
        ['XACK', key, 'group', '1-1'],
        ['XTRIM', key, 'MAXLEN', random.below(9)],
        ['XSETID', key, '9999999999999-0'],
      ])
  }
}

/** Runs random commands as an application might: alone, in transactions, in scripts, in three databases. */
export async function storm(
  client: Redis,
  random: Random,
  rounds: number,
  { anyType = false } = {},
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const pipeline = client.pipeline()
    const call = (name: Argument, ...args: Argument[]) => pipeline.call(String(name), ...args)
    call('SELECT', random.below(3))
    for (let left = random.between(1, 30); left > 0; left--) {
      const [name, ...args] = aCommand(random, anyType)
      call(name!, ...args)
    }
    if (random.chance(0.3)) {
      call('MULTI')
      for (let left = random.between(1, 6); left > 0; left--) {
        const [name, ...args] = aCommand(random, anyType)
        call(name!, ...args)
      }
      if (random.chance(0.2)) call('SELECT', random.below(3))
      call('SET', 'string:1', 'from a transaction')
      call(random.chance(0.9) ? 'EXEC' : 'DISCARD')
    }
    if (random.chance(0.3)) {
      const aKey = (kind: string) => `${anyType ? 'key' : kind}:${random.below(12)}`
      const kind = random.pick(kinds)
      const ttl = random.pick([0, 50, 40_000_000])
      call('EVAL', random.pick(scripts), 1, aKey(kind), `scripted ${round}`, aKey(kind), ttl)
    }
    // Unknown before Redis 7.4, and on Valkey 8.
    if (random.chance(0.3))
      call('HPEXPIRE', `hash:${random.below(12)}`, random.pick([60, 9_000_000]), 'FIELDS', 1, 'other')
    if (random.chance(0.02)) call('SWAPDB', random.below(3), random.below(3))
    if (random.chance(0.01)) call('FLUSHDB')
    if (random.chance(0.005)) call('FLUSHALL')
    await pipeline.exec()
  }
}
