import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { connect } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { describe, expect, it } from 'vitest'
import { Call, headwater, lastLine } from '../cli/headwater.ts'
import { fillRandomly } from '../rdb/random-keyspace.ts'
import { plainClient } from '../support/plain-client.ts'
import { Random } from '../support/random.ts'
import { collections } from './captured-types.ts'
import { differences } from './same-data.ts'
import { spoolFolder } from './spool-folder.ts'

const config = fileURLToPath(new URL('state.config.ts', import.meta.url))

describe('headwater capture', () => {
  it('copies once, reports, and leaves a target that is on its own', async () => {
    const password = 'correct-horse'
    await using source = await startRedis({
      own: true,
      config: { 'repl-diskless-sync-delay': '0', requirepass: password },
    })
    await using target = await startRedis({ own: true })
    await using from = plainClient({ path: source.socketPath, password })
    await using to = plainClient(target.options)
    await fillRandomly(from, new Random(1), 100)
    const spool = spoolFolder()
    const url = `unix://${source.socketPath}?password=${encodeURIComponent(password)}`
    const args = ['--from', url, '--to', target.url, '--mode', 'commands', '--spool', spool]
    const ended = await headwater(['capture', ...args, '--once', '--json'])
    expect(ended.ending).toBe(0)
    expect(lastLine(ended)).toMatchObject({ mode: 'commands', fullCopies: 1, released: true })
    expect(await differences(from, to, 'released')).toEqual([])
    const again = await headwater(['capture', ...args, '--once'])
    expect(again).toMatchObject({ ending: 1, stderr: expect.stringContaining('[TARGET_REFUSED]') as string })
    for (const text of [ended.stderr, ended.stdout, again.stderr]) expect(text).not.toContain(password)
  })

  it('copies a part by key, database and type', async () => {
    await using source = await startRedis({ own: true, config: { 'repl-diskless-sync-delay': '0' } })
    await using target = await startRedis({ own: true })
    await using from = plainClient(source.options)
    await using to = plainClient(target.options)
    await from.set('user:1', 'a string')
    await from.hset('user:2', 'a', 'hash')
    await from.hset('order:3', 'another', 'hash')
    const args = ['--from', source.url, '--to', target.url, '--mode', 'commands', '--spool', spoolFolder()]
    const part = ['--keys', 'user:*', '--database', '0', '--type', 'hash']
    expect(await headwater(['capture', ...args, ...part, '--once'])).toMatchObject({ ending: 0 })
    expect(await to.keys('*:?')).toEqual(['user:2'])
    expect(await headwater(['capture', ...args, '--type', 'json', '--once'])).toMatchObject({
      ending: 1,
      stderr: expect.stringContaining('"json" must be one of string, list') as string,
    })
  })

  it('follows until SIGTERM, and goes on from there the next time', async () => {
    await using source = await startRedis({ own: true, config: { 'repl-diskless-sync-delay': '0' } })
    await using target = await startRedis({ own: true })
    await using from = plainClient(source.options)
    await using to = plainClient(target.options)
    const spool = spoolFolder()
    const args = ['--from', source.url, '--to', target.url, '--mode', 'commands', '--spool', spool, '--json']
    await from.set('first', '1')
    for (const copies of [1, 0]) {
      const call = new Call(['capture', ...args])
      await call.says(copies === 1 ? 'keys were copied' : 'continues where we are')
      await from.set('second', String(copies))
      call.process.kill('SIGTERM')
      const ended = await call.ended()
      expect(ended.ending).toBe(0)
      expect(lastLine(ended)).toMatchObject({ fullCopies: copies, released: false })
    }
    expect(await to.get('first')).toBe('1')
  })

  it('brings the keys that a config names into the log, once or until SIGTERM', async () => {
    await using source = await startRedis({ own: true, config: { requirepass: 'correct-horse' } })
    await using server = await startRedis({ own: true })
    await using from = plainClient({ ...source.options, password: 'correct-horse' })
    const namespace = randomUUID()
    const args = [
      'capture',
      '--mode',
      'state',
      '--config',
      config,
      '--redis',
      server.url,
      '--namespace',
      namespace,
      '--spool',
      spoolFolder(),
      '--json',
    ]
    const env = { SOURCE_URL: `unix://${source.socketPath}?password=correct-horse` }
    await from.hset('hash:ada', 'age', '36')
    const once = await headwater([...args, '--once'], { env })
    expect(once.ending).toBe(0)
    expect(lastLine(once)).toMatchObject({ mode: 'state', fullCopies: 1, caughtUp: true, rejected: [] })
    await using log = await connect(server.options, { namespace, collections: [collections.hashes] })
    expect((await log.get(collections.hashes, 'ada'))?.value.value).toEqual({ age: '36' })

    const call = new Call(args, { env })
    await call.says('continues where we are')
    await from.hset('hash:ada', 'age', '37')
    call.process.kill('SIGTERM')
    const ended = await call.ended()
    expect(ended.ending).toBe(0)
    expect(lastLine(ended)).toMatchObject({ fullCopies: 0, caughtUp: false })
    for (const text of [once.stderr, once.stdout, ended.stderr]) expect(text).not.toContain('correct-horse')
  })

  it('says what is missing', async () => {
    for (const args of [
      ['--from', 'redis://localhost', '--mode', 'commands'],
      ['--mode', 'state'],
    ])
      expect(await headwater(['capture', ...args])).toMatchObject({ ending: 2 })
    const gone = await headwater([
      'capture',
      '--from',
      'unix:///nowhere',
      '--to',
      'unix:///nowhere',
      '--mode',
      'commands',
    ])
    expect(gone).toMatchObject({
      ending: 1,
      stderr: expect.stringContaining('[SOURCE_UNAVAILABLE]') as string,
    })
  })
})
