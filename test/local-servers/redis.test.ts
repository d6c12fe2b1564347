import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type RedisServer, startRedis } from '@headwater/local-servers'
import { Redis, type RedisOptions } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { isRunning } from '../support/process-tree.ts'

/** Uses a client once; it waits for a server that restarts. */
async function ask<T>(address: RedisOptions | string, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = typeof address === 'string' ? new Redis(address) : new Redis(address)
  client.on('error', () => {})
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}

describe('a Redis server', () => {
  it('answers on a Unix socket in a private folder, by its options and by its URL', async () => {
    await using server = await startRedis({ own: true })
    expect(server).toMatchObject({ own: true, namespacePrefix: '', port: undefined, host: undefined })
    expect(await ask(server.options, (client) => client.set('key', 'value'))).toBe('OK')
    expect(await ask(server.url, (client) => client.get('key'))).toBe('value')
    expect(statSync(dirname(server.socketPath)).mode & 0o777).toBe(0o700)
  })

  it('answers on a free port of 127.0.0.1 when asked to, and on its socket', async () => {
    await using server = await startRedis({ own: true, port: true })
    expect(server.options).toEqual({ host: '127.0.0.1', port: server.port })
    expect(await ask(server.url, (client) => client.set('key', 'value'))).toBe('OK')
    expect(await ask({ path: server.socketPath }, (client) => client.get('key'))).toBe('value')
  })

  it('does not collide with others that start at once', async () => {
    const servers = await Promise.all(Array.from({ length: 4 }, () => startRedis({ own: true, port: true })))
    const names = servers.map((_, index) => `server ${index}`)
    await Promise.all(
      servers.map((server, i) => ask(server.options, (client) => client.set('name', names[i]!))),
    )
    expect(
      await Promise.all(servers.map((server) => ask(server.options, (client) => client.get('name')))),
    ).toEqual(names)
    expect(new Set(servers.map(({ port }) => port)).size).toBe(4)
    await Promise.all(servers.map((server) => server.stop()))
  })

  it('refuses a given port that is taken', async () => {
    await using first = await startRedis({ own: true, port: true })
    await expect(startRedis({ own: true, port: first.port! })).rejects.toThrow(
      /already in use.*\[DID_NOT_START\]/s,
    )
  })

  it('takes directives, also repeated ones, and a password', async () => {
    await using server = await startRedis({
      own: true,
      port: true,
      config: {
        requirepass: 'secret/?#@:',
        maxmemory: '12mb',
        'client-output-buffer-limit': ['pubsub 1mb 1mb 1', 'replica 2mb 2mb 2'],
      },
    })
    const limits = await ask(server.url, (client) => client.config('GET', 'client-output-buffer-limit'))
    expect(limits).toEqual([
      'client-output-buffer-limit',
      'normal 0 0 0 slave 2097152 2097152 2 pubsub 1048576 1048576 1',
    ])
    expect(await ask(server.options, (client) => client.config('GET', 'maxmemory'))).toEqual([
      'maxmemory',
      '12582912',
    ])
  })

  it('has a URL with its password for its socket, too', async () => {
    await using server = await startRedis({ own: true, config: { requirepass: 'secret/?#@:' } })
    expect(await ask(server.url, (client) => client.ping())).toBe('PONG')
    expect(await ask(server.options, (client) => client.ping())).toBe('PONG')
  })

  it('saves nothing and allows DEBUG unless told otherwise', async () => {
    await using server = await startRedis({ own: true })
    expect(await ask(server.options, (client) => client.config('GET', 'save'))).toEqual(['save', ''])
    expect(await ask(server.options, (client) => client.call('DEBUG', 'SLEEP', '0'))).toBe('OK')
  })

  it('says why it did not start', async () => {
    await expect(startRedis({ own: true, config: { 'no-such-directive': 'yes' } })).rejects.toThrow(
      /no-such-directive.*\[DID_NOT_START\]/s,
    )
  })
})

describe('a Redis server that is killed', () => {
  it('is gone when kill settles, and restarts empty at the same addresses', async () => {
    await using server = await startRedis({ own: true, port: true })
    const before = { pid: server.pid, url: server.url, socketPath: server.socketPath }
    await ask(server.options, (client) => client.set('key', 'value'))
    await server.kill('SIGKILL')
    expect(isRunning(before.pid)).toBe(false)
    await server.restart()
    expect({ url: server.url, socketPath: server.socketPath }).toEqual({
      url: before.url,
      socketPath: before.socketPath,
    })
    expect(server.pid).not.toBe(before.pid)
    expect(await ask(server.url, (client) => client.get('key'))).toBeNull()
    expect(await ask({ path: server.socketPath }, (client) => client.ping())).toBe('PONG')
  })

  it('comes back with its data when it keeps an append-only file', async () => {
    await using server = await startRedis({ own: true, config: { appendonly: 'yes', appendfsync: 'always' } })
    await ask(server.options, (client) => client.set('key', 'value'))
    await server.kill('SIGKILL')
    await server.restart()
    expect(await ask(server.options, (client) => client.get('key'))).toBe('value')
  })

  it('leaves its data in a given folder, where another server finds it', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'kept for later-'))
    const config = { appendonly: 'yes' }
    const first = await startRedis({ own: true, dir, config })
    await ask(first.options, (client) => client.set('key', 'value'))
    await first.stop()
    const second = await startRedis({ own: true, dir, config })
    expect(await ask(second.options, (client) => client.get('key'))).toBe('value')
    await second.stop()
    rmSync(dir, { recursive: true })
  })
})

describe('a Redis server that is stopped by SIGSTOP', () => {
  it('answers after SIGCONT what it was asked meanwhile', async () => {
    await using server = await startRedis({ own: true })
    const client = new Redis(server.options)
    await client.ping()
    await server.kill('SIGSTOP')
    let answered = false
    const answer = client.set('key', 'value').then(() => (answered = true))
    await expect(
      ask({ ...server.options, connectTimeout: 200, commandTimeout: 200 }, (other) => other.ping()),
    ).rejects.toThrow('timed out')
    expect(answered).toBe(false)
    await server.kill('SIGCONT')
    expect(await answer).toBe(true)
    client.disconnect()
  })

  it('restarts and stops all the same', async () => {
    await using server = await startRedis({ own: true })
    await server.kill('SIGSTOP')
    await server.restart()
    expect(await ask(server.options, (client) => client.ping())).toBe('PONG')
    await server.kill('SIGSTOP')
  })
})

describe('a Redis server after stop', () => {
  it('is gone with its folder, and stopping it again is harmless', async () => {
    const server = await startRedis({ own: true })
    await server.stop()
    await server.stop()
    expect(isRunning(server.pid)).toBe(false)
    expect(existsSync(dirname(server.socketPath))).toBe(false)
  })

  it.each<[string, (server: RedisServer) => Promise<void>]>([
    ['signals', (server) => server.kill('SIGKILL')],
    ['a restart', (server) => server.restart()],
  ])('refuses %s', async (_, use) => {
    const server = await startRedis({ own: true })
    await server.stop()
    await expect(use(server)).rejects.toThrow('[STOPPED]')
  })
})
