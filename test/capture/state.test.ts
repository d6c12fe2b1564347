import { randomUUID } from 'node:crypto'
import { connect, type Log } from '@headwater/core'
import { type RedisConfig, startProxy, startRedis, startSentinel } from '@headwater/local-servers'
import {
  type CaptureEvent,
  captured,
  startStateCapture,
  type StateCapture,
  type StateCaptureOptions,
} from '@headwater/redis'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { plainClient } from '../support/plain-client.ts'
import { Random } from '../support/random.ts'
import { rawChanges } from '../support/raw-log.ts'
import { givenSeed } from '../support/seed.ts'
import { collections, mappings, wrap } from './captured-types.ts'
import { killCapture } from './killed-capture.ts'
import { logDifferences } from './log-differences.ts'
import { spoolFolder } from './spool-folder.ts'
import { storm } from './storm.ts'

const partitions = 2

async function startPair(sourceConfig: RedisConfig = {}, logConfig: RedisConfig = {}) {
  const [source, logServer] = await Promise.all([
    startRedis({ own: true, config: { 'repl-diskless-sync-delay': '0', ...sourceConfig } }),
    startRedis({ own: true, config: logConfig }),
  ])
  const namespace = randomUUID()
  const clients = { source: plainClient(source.options), log: plainClient(logServer.options) }
  const options = { namespace, collections: Object.values(collections), partitions }
  const log = await connect(logServer.options, options)
  const spool = spoolFolder()
  const events: CaptureEvent[] = []
  return {
    source,
    logServer,
    clients,
    log,
    events,
    namespace,
    openLog: () => connect(logServer.options, options),
    capture: (wishes: Partial<StateCaptureOptions> = {}, into: Log = log) =>
      startStateCapture(into, {
        from: source.options,
        collections: mappings,
        spool,
        onEvent: (event) => events.push(event),
        ...wishes,
      }),
    changes: async () =>
      (
        await Promise.all(
          Array.from({ length: partitions }, (_, partition) => rawChanges(clients.log, namespace, partition)),
        )
      ).flat(),
    async [Symbol.asyncDispose]() {
      await log.close()
      for (const client of Object.values(clients)) client.disconnect()
      await Promise.all([source.stop(), logServer.stop()])
    },
  }
}

const ways = [
  ['by replication', {}, {}],
  ['by notifications', { by: 'notifications' }, { 'notify-keyspace-events': 'KA' }],
] as const

describe('the first copy of a capture of state', () => {
  it('tells how far it is, and about how long the rest takes', async () => {
    await using pair = await startPair()
    const total = 6_000
    const pipeline = pair.clients.source.pipeline()
    for (let index = 0; index < total; index++) pipeline.hset(`hash:${index}`, 'age', index)
    await pipeline.exec()
    await using proxy = await startProxy(pair.source.options)
    // So slow that there is something to tell before the end.
    proxy.delay(50)
    const from = { ...proxy.address }
    await using capture = await pair.capture({ from, collections: mappings.slice(0, 1) })
    const told = () => pair.events.flatMap((event) => (event.kind === 'sweeping' ? [event] : []))
    await eventually(() => expect(told()).not.toEqual([]))
    expect(told()[0]!.etaSeconds).toBeGreaterThan(0)
    proxy.delay(0)
    await capture.caughtUp()
    for (const [index, { collection, keysOfSource, keys, etaSeconds }] of told().entries()) {
      expect({ collection, keysOfSource }).toEqual({ collection: 'hashes', keysOfSource: total })
      expect(keys).toBeGreaterThan(told()[index - 1]?.keys ?? 0)
      expect(etaSeconds).toBeLessThan(60)
    }
  })
})

describe.each(ways)('a capture of state %s', (_, wishes, config) => {
  it('brings what is there, then each change, and deletes what is deleted or expires', async () => {
    await using pair = await startPair(config)
    const { source } = pair.clients
    await source.hset('hash:ada', 'age', '36')
    await source.set('other', 'not meant')
    await using capture = await pair.capture(wishes)
    await capture.caughtUp()
    const value = async (id: string) => (await pair.log.get(collections.hashes, id))?.value.value
    expect(await value('ada')).toEqual({ age: '36' })
    await source.hset('hash:ada', 'age', '37')
    await eventually(async () => expect(await value('ada')).toEqual({ age: '37' }))
    await source.hset('hash:bob', 'age', '1')
    await source.pexpire('hash:bob', 150)
    await eventually(async () => expect(await value('bob')).toEqual({ age: '1' }))
    await source.del('hash:ada')
    await eventually(async () => expect(await value('ada')).toBeUndefined())
    await eventually(async () => expect(await value('bob')).toBeUndefined())
    expect(await lasting(pair, capture)).toEqual([])
  })

  it('agrees with the source after a storm of commands', async () => {
    const random = new Random(givenSeed ?? 11)
    await using pair = await startPair(config)
    await storm(pair.clients.source, random, 60)
    await using capture = await pair.capture(wishes)
    await storm(pair.clients.source, random, 150)
    expect(await lasting(pair, capture)).toEqual([])
  })

  it('appends nothing for what has not changed, and finds what was deleted, when everything is compared again', async () => {
    await using pair = await startPair(config)
    const { source } = pair.clients
    for (let index = 0; index < 100; index++) await source.hset(`hash:${index}`, 'n', index)
    {
      await using first = await pair.capture(wishes)
      await first.caughtUp()
    }
    const before = (await pair.changes()).length
    await source.del('hash:7')
    await source.hset('hash:8', 'n', 'changed')
    // Another folder: the stream cannot be continued.
    await using again = await pair.capture({
      ...wishes,
      spool: spoolFolder(),
      collections: mappings.slice(0, 1),
    })
    await again.caughtUp()
    const after = (await pair.changes()).slice(before)
    const all = await pair.changes()
    expect(all.length - before).toBe(2)
    expect(after).toHaveLength(2)
    expect(await pair.log.get(collections.hashes, '7')).toBeUndefined()
  })

  it('agrees with the source though links are cut at random bytes', async () => {
    const random = new Random(givenSeed ?? 12)
    await using pair = await startPair(config)
    await using toSource = await startProxy(pair.source.options)
    await using toLog = await startProxy(pair.logServer.options)
    await using log = await connect(toLog.address, {
      namespace: pair.namespace,
      collections: Object.values(collections),
      deadlineMs: 300,
      attemptMs: 100,
    })
    await using capture = await pair.capture({ ...wishes, from: { ...toSource.address } }, log)
    for (let round = 0; round < 10; round++) {
      const commands = storm(pair.clients.source, random, 12)
      const link = random.pick([toSource, toLog])
      if (random.chance(0.3)) link.chop()
      if (random.chance(0.5)) void toLog.loseReply('EVALSHA')
      await commands
      link.cut()
      link.heal()
    }
    expect(await lasting(pair, capture)).toEqual([])
    expect(pair.events.some(({ kind }) => kind === 'retrying')).toBe(true)
  })

  it('goes on after source and log were started again', async () => {
    const random = new Random(givenSeed ?? 13)
    await using pair = await startPair({ ...config, save: '3600 1' }, { appendonly: 'yes' })
    await using capture = await pair.capture(wishes)
    await storm(pair.clients.source, random, 30)
    await pair.source.restart()
    await eventually(() => storm(pair.clients.source, random, 30))
    await pair.logServer.restart()
    await storm(pair.clients.source, random, 30)
    expect(await lasting(pair, capture)).toEqual([])
  })

  it('has what cannot enter told, keeps the older value, and takes the next one', async () => {
    await using pair = await startPair(config)
    const { source } = pair.clients
    const checked = captured(collections.hashes, {
      keys: 'hash:*',
      value: (fields, id) => {
        if (fields['age'] === 'none') throw new Error('a secret value')
        return { id, value: fields }
      },
    })
    await using capture = await pair.capture({ ...wishes, collections: [checked] })
    await source.hset('hash:ada', 'age', '1')
    await capture.caughtUp()
    await source.hset('hash:ada', 'age', 'none')
    await capture.caughtUp()
    expect(capture.status().rejected).toMatchObject([{ collection: 'hashes', key: 'ada' }])
    expect(JSON.stringify([capture.status(), pair.events])).not.toContain('secret')
    expect((await pair.log.get(collections.hashes, 'ada'))?.value.value).toEqual({ age: '1' })
    await source.hset('hash:ada', 'age', '2')
    await capture.caughtUp()
    expect(capture.status().rejected).toEqual([])
    expect((await pair.log.get(collections.hashes, 'ada'))?.value.value).toEqual({ age: '2' })
  })

  it('is fenced by a later one of the same name, which goes on', async () => {
    await using pair = await startPair(config)
    await using zombie = await pair.capture(wishes)
    await zombie.caughtUp()
    const commands = storm(pair.clients.source, new Random(givenSeed ?? 14), 60)
    await using log = await pair.openLog()
    await using later = await pair.capture({ ...wishes, spool: spoolFolder() }, log)
    await commands
    await pair.clients.source.hset('hash:ada', 'age', '1')
    expect(await lasting(pair, later)).toEqual([])
    await expect(zombie.done).rejects.toMatchObject({ code: 'ORIGIN_FENCED' })
  })
})

it.each([
  ['replication', '+psync +replconf'],
  ['notifications', '+psubscribe &*'],
] as const)('a capture of state by %s needs no more rights than it says', async (by, rights) => {
  await using pair = await startPair({ 'notify-keyspace-events': 'KA' })
  const { source } = pair.clients
  const reading = '+ping +info +command +select +scan +dbsize +type +get +hgetall +lrange +smembers +zrange'
  await source.call('ACL', 'SETUSER', 'reader', 'on', '>secret', '~*', ...`${rights} ${reading}`.split(' '))
  const from = { ...pair.source.options, username: 'reader', password: 'secret' }
  await source.hset('hash:a', 'n', 1)
  await using capture = await pair.capture({ by, from })
  await capture.caughtUp()
  await source.hset('hash:a', 'n', 2)
  expect(await lasting(pair, capture)).toEqual([])
})

describe('a capture of state by replication', () => {
  it('follows keys through databases that are swapped, emptied, moved and copied between', async () => {
    await using pair = await startPair()
    const { source } = pair.clients
    await using capture = await pair.capture()
    const here = async (collection: 'hashes' | 'elsewhere') => {
      await capture.caughtUp()
      const ids = ['a', 'b', 'c']
      const found = await pair.log.getMany(collections[collection], ids)
      return found.flatMap((entity) => (entity ? [entity.key] : []))
    }
    await source.multi().hset('hash:a', 'n', 1).hset('hash:b', 'n', 1).exec()
    await source.call('MOVE', 'hash:a', 1)
    expect([await here('hashes'), await here('elsewhere')]).toEqual([['b'], ['a']])
    await source.call('COPY', 'hash:b', 'hash:c', 'DB', 1)
    expect([await here('hashes'), await here('elsewhere')]).toEqual([['b'], ['a', 'c']])
    await source.call('SWAPDB', 0, 1)
    expect([await here('hashes'), await here('elsewhere')]).toEqual([['a', 'c'], ['b']])
    await source.rename('hash:a', 'hash:b')
    expect(await here('hashes')).toEqual(['b', 'c'])
    await source.set('hash:c', 'no hash any more')
    expect(await here('hashes')).toEqual(['b'])
    await source.flushdb()
    expect([await here('hashes'), await here('elsewhere')]).toEqual([[], ['b']])
    await source.flushall()
    expect(await here('elsewhere')).toEqual([])
  })

  it('asks a source that has had a replica for no dump, and goes on without comparing everything again', async () => {
    await using pair = await startPair()
    await pair.clients.source.hset('hash:a', 'n', 1)
    {
      await using first = await pair.capture()
      await first.caughtUp()
    }
    await pair.clients.source.hset('hash:a', 'n', 2)
    const events: CaptureEvent[] = []
    await using again = await pair.capture({ onEvent: (event) => events.push(event) })
    await again.caughtUp()
    expect((await pair.log.get(collections.hashes, 'a'))?.value.value).toEqual({ n: '2' })
    await using other = await pair.capture({ spool: spoolFolder(), onEvent: (event) => events.push(event) })
    await other.caughtUp()
    expect(events.filter(({ kind }) => kind === 'full-copy' || kind === 'copied')).toEqual([])
  })

  it('is continued by the next process when it is killed, and agrees with the source in the end', async () => {
    const random = new Random(givenSeed ?? 15)
    await using pair = await startPair({ 'repl-backlog-size': '64mb' })
    const spool = spoolFolder()
    for (let round = 0; round < 2; round++) {
      const env = {
        FROM: pair.source.url,
        LOG: pair.logServer.url,
        NAMESPACE: pair.namespace,
        SPOOL: spool,
      }
      await killCapture('state-capture-process.ts', env, pair.clients.source, random)
    }
    await using capture = await pair.capture({ spool })
    expect(await lasting(pair, capture)).toEqual([])
  })

  it('brings again what the log had acknowledged and then lost', async () => {
    await using pair = await startPair({}, { dbfilename: 'dump.rdb' })
    await using capture = await pair.capture()
    const value = async () => (await pair.log.get(collections.hashes, 'a'))?.value.value
    await pair.clients.source.hset('hash:a', 'n', 1)
    await capture.caughtUp()
    await pair.clients.log.call('SAVE')
    await pair.clients.source.hset('hash:a', 'n', 2)
    await capture.caughtUp()
    expect(await value()).toEqual({ n: '2' })
    await pair.logServer.kill('SIGKILL')
    await pair.logServer.restart()
    expect(await value()).toEqual({ n: '1' })
    await pair.clients.source.hset('hash:b', 'n', 1)
    await capture.caughtUp()
    expect(await value()).toEqual({ n: '2' })
    expect(pair.events.some(({ kind }) => kind === 'target-went-back')).toBe(true)
  })

  it('waits for a log that is away longer than an append would, also while it compares everything', async () => {
    await using pair = await startPair()
    for (let index = 0; index < 50; index++) await pair.clients.source.hset(`hash:${index}`, 'n', index)
    await using toLog = await startProxy(pair.logServer.options)
    const options = { namespace: pair.namespace, collections: Object.values(collections) }
    await using log = await connect(toLog.address, { ...options, deadlineMs: 200, attemptMs: 100 })
    await using capture = await pair.capture({}, log)
    for (let round = 0; round < 3; round++) {
      toLog.refuse()
      toLog.cut()
      const before = pair.events.length
      await pair.clients.source.call('SWAPDB', 0, 1)
      await eventually(() =>
        expect(pair.events.slice(before).some(({ kind }) => kind === 'retrying')).toBe(true),
      )
      await toLog.accept()
    }
    expect(await lasting(pair, capture)).toEqual([])
  })

  it('takes back what a failover of the source has lost', async () => {
    await using set = await startSentinel()
    await using logServer = await startRedis({ own: true })
    const options = { namespace: randomUUID(), collections: Object.values(collections) }
    await using log = await connect(logServer.options, options)
    const master = await set.master()
    const first = plainClient(master.options)
    await first.hset('hash:a', 'n', 1)
    await using capture = await startStateCapture(log, {
      from: set.options,
      collections: mappings,
      spool: spoolFolder(),
    })
    await capture.caughtUp()
    const replicas = set.servers.filter((server) => server !== master)
    for (const replica of replicas) await replica.kill('SIGSTOP')
    // Nothing of what comes now is in their sockets; the capture attaches again.
    await first.call('CLIENT', 'KILL', 'TYPE', 'replica')
    await first.hset('hash:a', 'n', 'lost')
    const value = async () => (await log.get(collections.hashes, 'a'))?.value.value
    await eventually(async () => expect(await value()).toEqual({ n: 'lost' }))
    first.disconnect()
    await master.kill('SIGKILL')
    for (const replica of replicas) await replica.kill('SIGCONT')
    await eventually(async () => expect(await value()).toEqual({ n: '1' }), { timeoutMs: 30_000 })
  })
})

describe('a capture of state by notifications', () => {
  it('finds by a rescan what it was not told', async () => {
    await using pair = await startPair()
    await using capture = await pair.capture({ by: 'notifications', rescanMs: 200 })
    await capture.caughtUp()
    await pair.clients.source.hset('hash:a', 'n', 1)
    const value = async () => (await pair.log.get(collections.hashes, 'a'))?.value.value
    await eventually(async () => expect(await value()).toEqual({ n: '1' }))
    await pair.clients.source.del('hash:a')
    await eventually(async () => expect(await value()).toBeUndefined())
    expect(pair.events).toContainEqual({ kind: 'notifications-off' })
  })

  it('finds what changed while its link was cut as soon as it is back', async () => {
    await using pair = await startPair({ 'notify-keyspace-events': 'KA' })
    await using proxy = await startProxy(pair.source.options)
    await using capture = await pair.capture({ by: 'notifications', from: { ...proxy.address } })
    await capture.caughtUp()
    proxy.refuse()
    proxy.cut()
    await pair.clients.source.hset('hash:a', 'n', 1)
    await proxy.accept()
    const value = async () => (await pair.log.get(collections.hashes, 'a'))?.value.value
    await eventually(async () => expect(await value()).toEqual({ n: '1' }))
  })
})

it('a mapping that cannot work is refused before anything is done', async () => {
  await using pair = await startPair()
  const refused = { code: 'OPTION_INVALID' }
  await expect(pair.capture({ collections: [] })).rejects.toMatchObject(refused)
  await expect(pair.capture({ collections: [mappings[0]!, mappings[0]!] })).rejects.toMatchObject(refused)
  await expect(pair.capture({ name: 'no name' })).rejects.toMatchObject(refused)
  await expect(pair.capture({ rescanMs: 1 })).rejects.toMatchObject(refused)
  expect(() => captured(collections.hashes, { keys: 'user:', value: wrap })).toThrow(/one "\*"/)
  expect(() => captured(collections.hashes, { keys: '*:*', value: wrap })).toThrow(/one "\*"/)
  expect(() => captured(collections.hashes, { keys: 'x*', database: -1, value: wrap })).toThrow(/database -1/)
})

/** What still differs when there was time for everything to arrive, and for the source to expire what is due. */
async function lasting(
  { clients, namespace }: Awaited<ReturnType<typeof startPair>>,
  capture: StateCapture,
): Promise<string[]> {
  let found: string[] = []
  const look = async () => {
    await capture.caughtUp()
    const { rejected } = capture.status()
    found = await logDifferences(clients.source, clients.log, namespace, partitions, mappings, rejected)
    if (found.length > 0) throw new Error('They differ.')
  }
  await eventually(look).catch((error: Error) => {
    if (found.length === 0) throw error
  })
  return found
}
