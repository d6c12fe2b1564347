import { notes } from '@headwater/conformance'
import {
  connect,
  feedHandler,
  isHeadwaterError,
  memorySink,
  startWorker,
  type ConnectOptions,
  type GroupOptions,
  type RedisTarget,
  type WorkerOptions,
} from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { log, openSharedLog, server } from '../worker/shared-log.ts'

const secret = 'geheim'

openSharedLog()

/** What came of something that must be refused at the door. */
async function refusalOf(call: () => unknown) {
  const refused = await (async () => await call())().then(
    () => undefined,
    (error: unknown) => error,
  )
  return {
    code: isHeadwaterError(refused) ? refused.code : String(refused),
    isShort: refused instanceof Error && refused.message.length < 1_024,
    isDiscreet: !(refused instanceof Error) || !`${refused.message} ${refused.stack}`.includes(secret),
  }
}

const refused = { code: 'OPTION_INVALID', isShort: true, isDiscreet: true }

describe('a Redis that cannot be one is refused, without its password:', () => {
  it.each<[string, unknown]>([
    ['no URL', `user:${secret}@host`],
    ['another protocol', `http://user:${secret}@host`],
    ['a file', `file:///etc/${secret}`],
    ['a port above all', `redis://user:${secret}@host:65536`],
    ['port 0', `redis://user:${secret}@host:0`],
    ['a port that is text', `redis://user:${secret}@host:port`],
    ['a port and more', `redis://user:${secret}@host:6379abc`],
    ['a port with a fraction', `redis://user:${secret}@host:6379.5`],
    ['a port below zero', `redis://user:${secret}@host:-1`],
    ['a host with a blank', `redis://user:${secret}@ho st`],
    ['an address without brackets', `redis://user:${secret}@::1:6379`],
    ['half a bracket', `redis://user:${secret}@[::1`],
    ['a database with a fraction', `redis://user:${secret}@host/1.5`],
    ['a password with a slash', `redis://user:p/${secret}@host`],
    ['a password with a hash', `redis://user:p#${secret}@host`],
    ['a big integer', 1n],
    ['a text of a megabyte', 'x'.repeat(1e6)],
    ['a database that is text', `redis://user:${secret}@host/abc`],
    ['a database below zero', `redis://user:${secret}@host/-1`],
    ['a password that is not encoded', `redis://user:${secret}%zz@host`],
    ['a user that is not encoded', `redis://%zz:${secret}@host`],
    ['a socket that is not encoded', `unix:///tmp/%zz?db=0`],
    ['nothing', undefined],
    ['null', null],
    ['a number', 6_379],
    ['a list', []],
    ['a key prefix', { host: 'localhost', keyPrefix: 'x:' }],
    ['no nodes', { nodes: [] }],
    ['nodes that are none', { nodes: 'localhost' }],
  ])('%s', async (_, target) => {
    const options = { namespace: 'hostile', deadlineMs: 100 }
    expect(await refusalOf(() => connect(target as RedisTarget, options))).toEqual(refused)
  })
})

describe('options of connect that cannot be are refused:', () => {
  it.each<[string, unknown]>([
    ['none', undefined],
    ['null', null],
    ['no namespace', {}],
    ['a namespace with a hash tag', { namespace: '{a}' }],
    ['a namespace with a colon', { namespace: 'a:b' }],
    ['a namespace with a line end', { namespace: 'a\nb' }],
    ['a namespace that ends with one', { namespace: 'ab\n' }],
    ['an empty namespace', { namespace: '' }],
    ['a long namespace', { namespace: 'n'.repeat(65) }],
    ['a namespace of a megabyte', { namespace: 'n n'.repeat(333_333) }],
    ['a namespace that is a big integer', { namespace: 1n }],
    ['a namespace that cannot be told', { namespace: Object.create(null) as unknown }],
    ['partitions that cannot be told', { partitions: Object.create(null) as unknown }],
    ['partitions that are a big integer', { partitions: 8n }],
    ['an option that is misspelt', { partitons: 8 }],
    ['an option called constructor', { constructor: 8 }],
    ['no partitions', { partitions: 0 }],
    ['fewer', { partitions: -1 }],
    ['parts of them', { partitions: 1.5 }],
    ['a million', { partitions: 1e6 }],
    ['partitions as text', { partitions: '8' }],
    ['a durability that is none', { durability: '__proto__' }],
    ['replicas below zero', { replicas: -1 }],
    ['a deadline of null', { deadlineMs: null }],
    ['a deadline that overflows timers', { deadlineMs: 2 ** 31 }],
    ['a deadline that is no number', { deadlineMs: Number.NaN }],
    ['a deadline as text', { deadlineMs: '5s' }],
    ['a collection twice', { collections: [notes, notes] }],
    ['collections that are no list', { collections: notes }],
    ['a collection that is none', { collections: [{ name: 'x' }] }],
    ['a collection of nothing', { collections: [undefined] }],
    ['credentials that are no function', { credentials: { password: secret } }],
  ])('%s', async (_, options) => {
    const given =
      options && typeof options === 'object' && 'namespace' in options ? {} : { namespace: 'hostile' }
    const all = options && Object.keys(options).length > 0 ? { ...given, ...options } : options
    expect(await refusalOf(() => connect(server.options, all as ConnectOptions))).toEqual(refused)
  })
})

describe('options of a worker that cannot be are refused:', () => {
  const sink = memorySink({ collection: notes })
  it.each<[string, unknown]>([
    ['none', undefined],
    ['no groups', { groups: {} }],
    ['groups that are none', { groups: 'copy' }],
    ['a group of null', { groups: { copy: null } }],
    ['a group without a sink', { groups: { copy: {} } }],
    ['an option of a group', { concurrency: 1 }],
    ['an option called __proto__', JSON.parse('{"__proto__":{}}')],
    ['a lease of nothing', { leaseMs: 0 }],
    ['a lease as text', { leaseMs: '15s' }],
    ['a lease of a moment', { leaseMs: 1 }],
    ['a lease that cannot be told', { leaseMs: Object.create(null) as unknown }],
    ['a lease that overflows timers', { leaseMs: 2 ** 31 }],
    ['a drain below zero', { drainMs: -1 }],
    ['room for nothing', { prefetch: { changes: 0 } }],
    ['room that is no number', { prefetch: { size: Number.NaN } }],
    ['a delay that is no number', { retry: { firstMs: Number.NaN, maxMs: 1 } }],
    ['a delay below zero', { retry: { firstMs: -1, maxMs: 1 } }],
    ['a delay that overflows timers', { retry: { firstMs: 1, maxMs: 2 ** 31 } }],
    ['half a delay', { retry: { firstMs: 1 } }],
    ['a name that is none', { name: 7 }],
    ['a name with a line end', { name: 'a\nb' }],
  ])('%s', async (_, options) => {
    const all = options && { groups: { copy: sink }, ...options }
    expect(await refusalOf(() => startWorker(log, all as WorkerOptions))).toEqual(refused)
  })

  it.each<[string, unknown]>([
    ['an option of the worker', { leaseMs: 5_000 }],
    ['an option that is misspelt', { concurency: 1 }],
    ['concurrency of nothing', { concurrency: 0 }],
    ['more concurrency than the sink has', { concurrency: 99 }],
    ['time for nothing', { applyTimeoutMs: 0 }],
    ['time that is no number', { applyTimeoutMs: Number.NaN }],
    ['time that overflows timers', { applyTimeoutMs: 2 ** 31 }],
    ['room to park nothing', { parking: { keys: 0 } }],
    ['no attempts', { attemptsMax: 0 }],
    ['one death', { deathsMax: 1 }],
    ['a beginning that is none', { start: 'middle' }],
    ['a rate of nothing', { start: 'state', copyKeysPerSecond: 0 }],
    ['a rate that is no number', { start: 'state', copyKeysPerSecond: Number.NaN }],
  ])('of a group: %s', async (_, options) => {
    const group = { sink, ...(options as object) } as GroupOptions
    expect(await refusalOf(() => startWorker(log, { groups: { copy: group } }))).toEqual(refused)
  })

  it.each(['', 'a:b', 'a/b', '{a}', 'a\n', '__proto__\n', 'g'.repeat(65)].map((name) => [name]))(
    'a group called %j',
    async (name) => {
      expect((await refusalOf(() => startWorker(log, { groups: { [name]: sink } }))).code).toMatch(
        /^(OPTION|GROUP)_INVALID$/,
      )
    },
  )
})

describe('options of a feed handler that cannot be are refused:', () => {
  it.each<[string, object]>([
    ['no collections', { collections: [] }],
    ['nobody who decides', { authorize: undefined }],
    ['silence of nothing', { heartbeatMs: 0 }],
    ['no room', { buffer: 0 }],
    ['room that is no number', { buffer: Number.NaN }],
    ['subscriptions that are no number', { subscriptionsMax: Number.NaN }],
    ['subscriptions below zero', { subscriptionsMax: -1 }],
  ])('%s', async (_, options) => {
    const all = { collections: [notes], authorize: () => true, ...options }
    expect(await refusalOf(() => feedHandler(log, all))).toEqual(refused)
  })
})
