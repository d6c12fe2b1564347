import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { freePort, type RedisConfig, startProxy, startRedis, startSentinel } from '@headwater/local-servers'
import {
  type CapturedType,
  type CaptureEvent,
  type CommandCapture,
  type CommandCaptureOptions,
  startCommandCapture,
} from '@headwater/redis'
import type { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { rebuildRestored } from '../../packages/adapters/redis/src/capture/restored-value.ts'
import { TypeFilter } from '../../packages/adapters/redis/src/capture/type-filter.ts'
import { eventually } from '../support/eventually.ts'
import { plainClient } from '../support/plain-client.ts'
import { Random } from '../support/random.ts'
import { givenSeed } from '../support/seed.ts'
import { checksumOf } from '../rdb/dump-bytes.ts'
import { fillRandomly } from '../rdb/random-keyspace.ts'
import { killCapture } from './killed-capture.ts'
import { differences } from './same-data.ts'
import { spoolFolder } from './spool-folder.ts'
import { storm } from './storm.ts'

/** As `COMMAND` answers: the name is the first of it, what is known of its keys the ninth. */
type CommandEntry = [name: string, ...unknown[]] & { readonly 8: readonly unknown[][] }

const quick: RedisConfig = { 'repl-diskless-sync-delay': '0' }

async function startPair(sourceConfig: RedisConfig = {}, targetConfig: RedisConfig = {}) {
  const [source, target] = await Promise.all([
    startRedis({ own: true, config: { ...quick, ...sourceConfig } }),
    startRedis({ own: true, config: targetConfig }),
  ])
  const clients = { source: plainClient(source.options), target: plainClient(target.options) }
  const spool = spoolFolder()
  const events: CaptureEvent[] = []
  return {
    source,
    target,
    clients,
    events,
    capture: (options: Partial<CommandCaptureOptions> = {}) =>
      startCommandCapture({
        from: source.options,
        to: target.options,
        spool,
        onEvent: (event) => events.push(event),
        ...options,
      }),
    async [Symbol.asyncDispose]() {
      for (const client of Object.values(clients)) client.disconnect()
      await Promise.all([source.stop(), target.stop()])
    },
  }
}

describe('a full copy', () => {
  it.each([
    ['from a source that writes its dump to disk', { 'repl-diskless-sync': 'no' }],
    ['from a source that sends its dump at once', { 'repl-diskless-sync': 'yes' }],
  ])('has every key of every database, %s', async (_, config) => {
    await using pair = await startPair(config)
    await fillRandomly(pair.clients.source, new Random(givenSeed ?? 1), 200)
    await using capture = await pair.capture()
    await capture.caughtUp()
    expect(await differences(pair.clients.source, pair.clients.target, 'held')).toEqual([])
    await capture.release()
    expect(await differences(pair.clients.source, pair.clients.target, 'released')).toEqual([])
  })
})

describe('a full copy that takes a while', () => {
  it('tells how far it is, and about how long the rest takes', async () => {
    await using pair = await startPair({ rdbcompression: 'no' })
    await pair.clients.source.call('DEBUG', 'POPULATE', 30_000, 'key', 100)
    await using proxy = await startProxy(pair.target.options)
    // So slow that there is something to tell before the end.
    proxy.delay(50)
    await using capture = await pair.capture({ to: { ...proxy.address } })
    const told = () => pair.events.flatMap((event) => (event.kind === 'copying' ? [event] : []))
    await eventually(() => expect(told()).not.toEqual([]))
    proxy.delay(0)
    await capture.caughtUp()
    const { step, bytes, totalBytes, etaSeconds } = told()[0]!
    expect(step).toBe('applying')
    expect(totalBytes).toBeGreaterThan(3_000_000)
    expect(bytes).toBeLessThan(totalBytes!)
    expect(etaSeconds).toBeGreaterThan(0)
    expect(etaSeconds).toBeLessThan(600)
  })
})

describe('a storm of commands', () => {
  it('ends with the same data at source and replica', async () => {
    const random = new Random(givenSeed ?? 2)
    await using pair = await startPair()
    await storm(pair.clients.source, random, 50)
    await using capture = await pair.capture()
    await storm(pair.clients.source, random, 200)
    expect(await lastingDifferences(pair, capture)).toEqual([])
  })
})

describe('a capture of a part', () => {
  it('ends with the same data in that part after a storm of commands, and has nothing else', async () => {
    const random = new Random(givenSeed ?? 6)
    await using pair = await startPair()
    await storm(pair.clients.source, random, 40)
    const part = ['hash:', 'zset:', 'string:']
    await using capture = await pair.capture({ only: { keys: part.map((prefix) => `${prefix}*`) } })
    await storm(pair.clients.source, random, 100)
    const counts = (difference: string) => part.includes(/ "(\w+:)/.exec(difference)?.[1] ?? '')
    expect(await lastingDifferences(pair, capture, counts)).toEqual([])
    await pair.clients.target.select(0)
    const keys = await pair.clients.target.keys('*')
    expect(keys.filter((key) => !/^(hash|zset|string|headwater):/.test(key))).toEqual([])
    expect(keys.length).toBeGreaterThan(1)
  })

  it('divides what can be divided, lets go what leaves, and stops at what cannot be told', async () => {
    await using pair = await startPair()
    const { source, target } = pair.clients
    await using capture = await pair.capture({ only: { keys: ['user:*'], databases: [0] } })
    await source.mset('user:1', 'a', 'other', 'b', 'user:2', 'c', 'user:3', 'd', 'user:4', 'e')
    await source.del('other', 'user:4')
    await source.rename('user:2', 'gone')
    await source.move('user:3', 1)
    await source.call('COPY', 'user:1', 'copied')
    await source.call('SELECT', 1)
    await source.set('user:9', 'in a database that is left out')
    await source.call('SELECT', 0)
    await capture.caughtUp()
    expect((await target.keys('*')).toSorted()).toEqual(['headwater:capture:default', 'user:1'])
    await source.rename('gone', 'user:5')
    await expect(capture.done).rejects.toMatchObject({
      code: 'SOURCE_REFUSED',
      message: expect.stringContaining('RENAME') as string,
    })
  })

  it.each<readonly CapturedType[][]>([
    [['hash']],
    [['string', 'stream']],
    [['list', 'zset']],
    [['set', 'string']],
    [['list', 'set', 'zset', 'hash', 'stream']],
  ])(
    'has the values of %s after a storm in which keys become another type and links are cut, and no others',
    async (types) => {
      const random = new Random(givenSeed ?? 7)
      await using pair = await startPair({ 'repl-backlog-size': '64mb' })
      await using toTarget = await startProxy(pair.target.options)
      await storm(pair.clients.source, random, 20, { anyType: true })
      await using capture = await pair.capture({ to: { ...toTarget.address }, only: { types } })
      for (let round = 0; round < 4; round++) {
        const commands = storm(pair.clients.source, random, 25, { anyType: true })
        if (random.chance(0.5)) void toTarget.loseReply('EXEC')
        await commands
        toTarget.cut()
      }
      expect(await lastingDifferences(pair, capture, undefined, types)).toEqual([])
    },
  )

  it('follows keys of one type wherever commands put them, and lets go what takes their place', async () => {
    await using pair = await startPair()
    const { source, target } = pair.clients
    const types: readonly CapturedType[] = ['string']
    await source.hset('hash', 'field', 'value')
    await using capture = await pair.capture({ only: { types } })
    for (const command of [
      'MSET a 1 b 2 c 3 d 4 e 5',
      'HSET other field value',
      'SET other text XX',
      'COPY hash other REPLACE',
      'COPY a b REPLACE',
      'COPY hash b REPLACE',
      'COPY a elsewhere DB 1',
      'COPY hash elsewhere DB 1 REPLACE',
      'RENAME c renamed',
      'RENAME other renamed',
      'RENAMENX d another',
      'RENAMENX hash there',
      'MOVE there 1',
      'MOVE another 1',
      'SADD set member',
      'SUNIONSTORE e set',
      'BITOP NOT set a',
      'PEXPIRE set 900000',
      'PEXPIRE e 900000',
      'ZADD scores 1 member',
      'ZRANGESTORE a scores 0 -1',
      'RPUSH list 2 1',
      'SORT list STORE set',
      'GEOADD places 13.3 38.1 here',
      'SET near text',
      'GEORADIUS places 15 37 500 km STORE near',
      'SET list text',
    ]) {
      await source.call(...(command.split(' ') as [string, ...string[]]))
      await capture.caughtUp()
      expect([command, ...(await differences(source, target, 'held', types))]).toEqual([command])
    }
    await source.restore('d', 0, await source.dumpBuffer('list'), 'REPLACE')
    await source.restore('list', 0, await source.dumpBuffer('set'), 'REPLACE')
    await capture.caughtUp()
    expect(await differences(source, target, 'held', types)).toEqual([])
    expect((await target.keys('*')).toSorted()).toEqual(['d', 'headwater:capture:default'])
  })

  it('knows every command that the server says puts a value in place of another', async () => {
    await using server = await startRedis({ own: true })
    await using client = plainClient(server.options)
    const filter = await TypeFilter.of(client, ['stream'])
    const replacing: string[] = []
    for (const [name, , , , , , , , specs] of (await client.call('COMMAND')) as CommandEntry[])
      if (specs.flat(2).includes('OW')) replacing.push(name.toUpperCase())
    const silent = replacing.filter((name) => {
      // It arrives as the commands that make the value.
      if (name.startsWith('RESTORE')) return false
      const args = [name, 'a', 'b', 'c', 'STORE', 'd'].map((text) => Buffer.from(text))
      return filter.replayed(args).length === 0
    })
    // These write where nothing was, or strings over strings, or arrive as SET.
    expect(['GETSET', 'MSETNX', 'PSETEX', 'SETEX', 'SETNX']).toEqual(expect.arrayContaining(silent))
  })

  it('stops where a command may have read what is left out, and refuses a type that there is not', async () => {
    await using pair = await startPair()
    await using capture = await pair.capture({ only: { types: ['zset'] } })
    await capture.caughtUp()
    await pair.clients.source.zadd('scores', 1, 'a')
    await pair.clients.source.call('ZUNIONSTORE', 'all', 1, 'scores')
    await expect(capture.done).rejects.toMatchObject({
      code: 'SOURCE_REFUSED',
      message: expect.stringContaining('capture set too') as string,
    })
    await expect(pair.capture({ only: { types: ['table' as CapturedType] } })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining('"table"') as string,
    })
  })

  it('is copied anew when it is another part than before', async () => {
    await using pair = await startPair()
    await pair.clients.source.mset('user:1', 'a', 'order:1', 'b')
    for (const prefix of ['user:', 'order:']) {
      await using capture = await pair.capture({ only: { keys: [`${prefix}*`] } })
      await capture.caughtUp()
      expect((await pair.clients.target.keys('*')).toSorted()).toEqual(
        ['headwater:capture:default', `${prefix}1`].toSorted(),
      )
    }
    await expect(pair.capture({ only: { keys: [] } })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
    await expect(pair.capture({ only: { keys: ['user'] } })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })
})

describe('a value that the source was given by RESTORE', () => {
  it('is read and made by other commands at the target, with its expiry', async () => {
    await using pair = await startPair({}, { 'rename-command': 'RESTORE ""' })
    const { source } = pair.clients
    await using capture = await pair.capture()
    await fillRandomly(source, new Random(givenSeed ?? 8), 40)
    await source.select(0)
    for (const [index, key] of ((await source.callBuffer('KEYS', '*')) as Buffer[]).entries()) {
      const payload = await source.dumpBuffer(key)
      await source.restore(`copy:${index}`, index % 2 === 0 ? 0 : 90_000_000, payload)
      await source.restore(key, 0, payload, 'REPLACE')
    }
    expect(await lastingDifferences(pair, capture)).toEqual([])
  })

  it('is refused when it is damaged, whatever its checksum says', async () => {
    await using pair = await startPair()
    await pair.clients.source.sadd('set', 'a', 'b')
    const payload = await pair.clients.source.dumpBuffer('set')
    expect(await rebuildRestored(restoreOf(payload), 0)).toHaveLength(2)
    const flipped = Buffer.from(payload)
    flipped[2]! ^= 4
    const sealed = Buffer.concat([flipped.subarray(0, -8), checksumOf(flipped.subarray(0, -8))])
    for (const [damaged, why] of [
      [flipped, 'its checksum is wrong'],
      [sealed, 'cannot be replayed'],
      [payload.subarray(-9), 'it is too short'],
    ] as const) {
      await expect(rebuildRestored(restoreOf(damaged), 0)).rejects.toMatchObject({
        code: 'SOURCE_REFUSED',
        message: expect.stringContaining(why) as string,
      })
    }
  })
})

describe('a capture that meets trouble', () => {
  it('ends with the same data though links are cut at random bytes, and goes on without another full copy', async () => {
    const random = new Random(givenSeed ?? 3)
    await using pair = await startPair({ 'repl-backlog-size': '64mb' })
    await using toSource = await startProxy(pair.source.options)
    await using toTarget = await startProxy(pair.target.options)
    await using capture = await pair.capture({ from: { ...toSource.address }, to: { ...toTarget.address } })
    await capture.caughtUp()
    for (let round = 0; round < 12; round++) {
      const commands = storm(pair.clients.source, random, 15)
      const link = random.pick([toSource, toTarget])
      if (random.chance(0.3)) link.chop()
      if (random.chance(0.5)) void toTarget.loseReply(random.pick(['EXEC', 'WATCH', 'MULTI']))
      await commands
      link.cut()
      link.heal()
    }
    expect(await lastingDifferences(pair, capture)).toEqual([])
    expect(pair.events.filter(({ kind }) => kind === 'full-copy')).toHaveLength(1)
    expect(pair.events.some(({ kind }) => kind === 'retrying')).toBe(true)
  })

  it('copies everything again, and says so, when the source cannot continue where it is', async () => {
    await using pair = await startPair({ 'repl-backlog-size': '16kb' })
    await using proxy = await startProxy(pair.source.options)
    await using capture = await pair.capture({ from: { ...proxy.address } })
    await capture.caughtUp()
    proxy.refuse()
    proxy.cut()
    await pair.clients.source.set('gone', 'before it was seen')
    await pair.clients.source.set('large', 'x'.repeat(100_000))
    await pair.clients.source.del('gone')
    await proxy.accept()
    expect(await lastingDifferences(pair, capture)).toEqual([])
    expect(pair.events).toContainEqual(
      expect.objectContaining({ kind: 'full-copy', reason: 'source-cannot-continue' }),
    )
  })

  it('does not fill the buffers of the source while the target takes nothing', async () => {
    await using pair = await startPair({
      'client-output-buffer-limit': 'replica 1mb 1mb 1',
      'repl-backlog-size': '16kb',
    })
    await using capture = await pair.capture()
    await capture.caughtUp()
    await pair.target.kill('SIGSTOP')
    const large = 'x'.repeat(100_000)
    for (let round = 0; round < 60; round++) {
      for (let index = 0; index < 5; index++) await pair.clients.source.set(`key:${round + index}`, large)
      // What is acknowledged to the source is out of its buffers, though the target has nothing of it.
      expect(Number(await pair.clients.source.call('WAIT', 1, 10_000))).toBe(1)
    }
    await eventually(() => expect(capture.status().lagBytes).toBeGreaterThan(29_000_000))
    await pair.target.kill('SIGCONT')
    expect(await lastingDifferences(pair, capture)).toEqual([])
    expect(pair.events.filter(({ kind }) => kind === 'full-copy')).toHaveLength(1)
    expect(capture.status().lagBytes).toBe(0)
  })

  it('goes on where it was when source and target are started again', async () => {
    await using pair = await startPair({ save: '3600 1' }, { save: '3600 1' })
    await pair.clients.source.set('first', '1')
    await using capture = await pair.capture()
    await capture.caughtUp()
    await pair.source.restart()
    await pair.target.restart()
    await eventually(() => pair.clients.source.set('second', '2'))
    expect(await lastingDifferences(pair, capture)).toEqual([])
    expect(await pair.clients.target.get('second')).toBe('2')
    expect(pair.events.filter(({ kind }) => kind === 'full-copy')).toHaveLength(1)
  })

  it('applies again what the target had acknowledged and then lost', async () => {
    await using pair = await startPair({}, { dbfilename: 'dump.rdb' })
    await using capture = await pair.capture()
    await pair.clients.source.rpush('list', 'kept')
    await capture.caughtUp()
    await pair.clients.target.call('SAVE')
    await pair.clients.source.rpush('list', 'lost', 'and found')
    await capture.caughtUp()
    await pair.target.kill('SIGKILL')
    await pair.target.restart()
    await pair.clients.source.rpush('list', 'later')
    expect(await lastingDifferences(pair, capture)).toEqual([])
    expect(await pair.clients.target.lrange('list', 0, -1)).toEqual(['kept', 'lost', 'and found', 'later'])
    expect(pair.events.some(({ kind }) => kind === 'target-went-back')).toBe(true)
    expect(pair.events.filter(({ kind }) => kind === 'full-copy')).toHaveLength(1)
  })

  it('does not let a key expire early, however long the copy and the silence take', async () => {
    await using pair = await startPair()
    await pair.clients.source.set('renewed', 'value', 'PX', 300)
    const renew = setInterval(() => void pair.clients.source.pexpire('renewed', 300), 50)
    try {
      await pair.target.kill('SIGSTOP')
      const starting = pair.capture()
      await pair.clients.source.set('deleted', 'later', 'PX', 100)
      await eventually(async () => expect(await pair.clients.source.get('deleted')).toBeNull())
      await pair.target.kill('SIGCONT')
      await using capture = await starting
      await capture.caughtUp()
      expect(await pair.clients.target.get('renewed')).toBe('value')
      await pair.target.kill('SIGSTOP')
      await pair.clients.source.set('brief', 'value', 'PX', 400)
      await eventually(async () => expect(await pair.clients.source.get('brief')).toBeNull())
      await pair.target.kill('SIGCONT')
      await capture.caughtUp()
      expect(await pair.clients.target.get('renewed')).toBe('value')
      expect(await pair.clients.target.get('brief')).toBeNull()
    } finally {
      clearInterval(renew)
    }
  })
})

describe('a capture process that is killed', () => {
  it('is continued by the next one, without doubling or losing anything', async () => {
    const random = new Random(givenSeed ?? 4)
    await using pair = await startPair({ 'repl-backlog-size': '64mb' })
    const spool = spoolFolder()
    for (let round = 0; round < 4; round++) {
      const env = { FROM: pair.source.url, TO: pair.target.url, SPOOL: spool }
      await killCapture('capture-process.ts', env, pair.clients.source, random)
    }
    await using capture = await pair.capture({ spool })
    expect(await lastingDifferences(pair, capture)).toEqual([])
    expect(pair.events.filter(({ kind }) => kind === 'full-copy')).toEqual([])
  })
})

describe('two captures into one target', () => {
  it('end with the later one, and the earlier one says so', async () => {
    await using pair = await startPair()
    await using first = await pair.capture()
    await first.caughtUp()
    const commands = storm(pair.clients.source, new Random(givenSeed ?? 5), 60)
    await using second = await pair.capture({ spool: spoolFolder() })
    await commands
    await second.caughtUp()
    await expect(first.done).rejects.toMatchObject({ code: 'CAPTURE_FENCED' })
    expect(await lastingDifferences(pair, second)).toEqual([])
  })
})

describe('a target', () => {
  it('is refused when it holds other data, is the source, or is a Cluster', async () => {
    await using pair = await startPair()
    await pair.clients.target.set('precious', 'data')
    await expect(pair.capture()).rejects.toMatchObject({ code: 'TARGET_REFUSED' })
    expect(await pair.clients.target.get('precious')).toBe('data')
    await expect(pair.capture({ to: pair.source.options })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
    await using cluster = await startRedis({ own: true, port: true, config: { 'cluster-enabled': 'yes' } })
    await expect(pair.capture({ to: cluster.options })).rejects.toThrow(/mode state.*\[TARGET_REFUSED\]/)
  })

  it('is emptied first when that is allowed', async () => {
    await using pair = await startPair()
    await pair.clients.target.set('other', 'data')
    await pair.clients.source.set('key', 'value')
    await using capture = await pair.capture({ replace: true })
    expect(await lastingDifferences(pair, capture)).toEqual([])
  })

  it('that does not know a command stops the capture before anything of its transaction, and no value is told', async () => {
    await using pair = await startPair({}, { 'rename-command': 'SADD ""' })
    const capture = await pair.capture()
    await capture.caughtUp()
    await pair.clients.source.multi().set('before', '1').sadd('set', 'a secret value').exec()
    const error: unknown = await capture.done.catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'TARGET_REFUSED' })
    expect(inspect(error, { depth: 9 })).not.toContain('secret')
    expect(await pair.clients.target.get('before')).toBeNull()
  })

  it('that answers a replayed command with an error stops the capture, which does not count it as done', async () => {
    await using pair = await startPair()
    const capture = await pair.capture()
    await capture.caughtUp()
    // Somebody else writes to the replica.
    await pair.clients.target.set('list', 'no list')
    await pair.clients.source.multi().set('before', '1').rpush('list', 'element').exec()
    await expect(capture.done).rejects.toMatchObject({ code: 'CAPTURE_DAMAGED' })
    await expect(pair.capture()).rejects.toMatchObject({ code: 'CAPTURE_DAMAGED' })
    await using again = await pair.capture({ replace: true })
    expect(await lastingDifferences(pair, again)).toEqual([])
  })
})

describe('a source', () => {
  it('is attached to with a user and a password, or refuses with the reason', async () => {
    await using pair = await startPair()
    await pair.clients.source.call(
      'ACL',
      'SETUSER',
      'follower',
      'on',
      '>secret',
      '+psync',
      '+replconf',
      '+ping',
      '+info',
    )
    const from = { ...pair.source.options, username: 'follower', password: 'secret' }
    await pair.clients.source.set('key', 'value')
    await using capture = await pair.capture({ from })
    expect(await lastingDifferences(pair, capture)).toEqual([])
    await pair.clients.source.call('ACL', 'SETUSER', 'reader', 'on', '>secret', '+@read', '+ping', '+info')
    const refused = await pair.capture({
      from: { ...from, username: 'reader' },
      replace: true,
      name: 'other',
      spool: spoolFolder(),
    })
    await expect(refused.done).rejects.toMatchObject({
      code: 'SOURCE_REFUSED',
      message: expect.not.stringContaining('secret') as string,
    })
  })

  it('is attached to over TLS, and only when its certificate is trusted', async () => {
    const port = await freePort()
    const certificate = { 'tls-cert-file': tlsFile('certificate.pem'), 'tls-key-file': tlsFile('key.pem') }
    await using pair = await startPair({ 'tls-port': String(port), 'tls-auth-clients': 'no', ...certificate })
    await pair.clients.source.set('key', 'value')
    const address = { host: '127.0.0.1', port }
    await expect(pair.capture({ from: { ...address, tls: {} } })).rejects.toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      message: expect.stringContaining('certificate') as string,
    })
    const ca = readFileSync(tlsFile('certificate.pem'))
    await using capture = await pair.capture({ from: { ...address, tls: { ca } } })
    expect(await lastingDifferences(pair, capture)).toEqual([])
  })

  it('waits for our acknowledgement like for that of any replica', async () => {
    await using pair = await startPair()
    await using capture = await pair.capture()
    await capture.caughtUp()
    await pair.clients.source.set('key', 'value')
    expect(Number(await pair.clients.source.call('WAIT', 1, 5_000))).toBe(1)
  })
})

describe('a source behind Sentinel', () => {
  it('is followed over a failover without a new copy', async () => {
    await using set = await startSentinel()
    await using target = await startRedis({ own: true })
    const events: CaptureEvent[] = []
    const first = plainClient((await set.master()).options)
    await first.set('before', '1')
    await using capture = await startCommandCapture({
      from: set.options,
      to: target.options,
      spool: spoolFolder(),
      onEvent: (event) => events.push(event),
    })
    await capture.caughtUp()
    first.disconnect()
    await (await set.master()).kill('SIGKILL')
    await eventually(() => expect(events.some(({ kind }) => kind === 'history-renamed')).toBe(true), {
      timeoutMs: 20_000,
    })
    await using second = plainClient((await set.master()).options)
    await second.set('after', '2')
    await capture.caughtUp()
    await using replica = plainClient(target.options)
    expect(await differences(second, replica, 'held')).toEqual([])
    expect(events.filter(({ kind }) => kind === 'full-copy')).toHaveLength(1)
  })
})

function restoreOf(payload: Buffer): Buffer[] {
  return ['RESTORE', 'set', '0', payload].map((part) => Buffer.from(part))
}

function tlsFile(name: string): string {
  return join(import.meta.dirname, 'tls', name)
}

/** What still differs when there was time for everything to arrive, and for the source to expire what is due. */
async function lastingDifferences(
  { clients }: { clients: { source: Redis; target: Redis } },
  capture: CommandCapture,
  counts: (difference: string) => boolean = () => true,
  types?: readonly string[],
): Promise<string[]> {
  let found: string[] = []
  const look = async () => {
    await capture.caughtUp()
    found = (await differences(clients.source, clients.target, 'held', types)).filter(counts)
    if (found.length > 0) throw new Error('They differ.')
  }
  await eventually(look).catch((error: Error) => {
    if (found.length === 0) throw error
  })
  return found
}
