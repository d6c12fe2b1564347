import { once } from 'node:events'
import { type NetConnectOpts, connect } from 'node:net'
import { Redis } from 'ioredis'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type OwnRedisServer,
  type TcpProxy,
  startPostgres,
  startProxy,
  startRedis,
} from '@headwater/local-servers'
import { eventually } from '../support/eventually.ts'

let server: OwnRedisServer
let direct: Redis

beforeAll(async () => {
  server = await startRedis({ own: true, port: true })
  direct = new Redis(server.options)
})

afterAll(async () => {
  direct.disconnect()
  await server.stop()
})

/** A client through the proxy that tries a command once, and never connects again. */
function connectThrough({ address }: TcpProxy): Redis {
  const client = new Redis({
    ...address,
    retryStrategy: null,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
  })
  client.on('error', () => {})
  return client
}

/** What a promise has come to when the link has had the time of a round trip for it. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let pending = true
  const settled = () => (pending = false)
  promise.then(settled, settled)
  for (let i = 0; i < 20; i++) await direct.ping()
  return pending
}

describe.each(['unix', 'tcp'] as const)('a proxy on a %s address', (listen) => {
  it('forwards requests and replies of any size', async () => {
    await using proxy = await startProxy(server.options, { listen })
    const client = connectThrough(proxy)
    const large = 'é'.repeat(3_000_000)
    await client.set('large', large)
    expect(await client.get('large')).toBe(large)
    expect(proxy.connectionCount).toBe(1)
    client.disconnect()
    await eventually(() => expect(proxy.connectionCount).toBe(0))
  })

  it('cuts every connection and accepts new ones', async () => {
    await using proxy = await startProxy(server.options, { listen })
    const [one, two] = [connectThrough(proxy), connectThrough(proxy)]
    await Promise.all([one.ping(), two.ping()])
    proxy.cut()
    await Promise.all([one, two].map((client) => eventually(() => expect(client.status).toBe('end'))))
    const three = connectThrough(proxy)
    expect(await three.ping()).toBe('PONG')
    three.disconnect()
  })

  it('loses the reply of a request that the server executed', async () => {
    await using proxy = await startProxy(server.options, { listen })
    const client = connectThrough(proxy)
    await direct.set('counter', 0)
    const lost = proxy.loseReply('incrby', { nth: 2 })
    expect(await client.incrby('counter', 1)).toBe(1)
    await expect(client.incrby('counter', 10)).rejects.toThrow(/closed|ECONNRESET/)
    await lost
    expect(await direct.get('counter')).toBe('11')
  })
})

describe('a proxy', () => {
  it('loses a request before the server has it', async () => {
    await using proxy = await startProxy(server.options)
    const client = connectThrough(proxy)
    await direct.set('counter', 0)
    const lost = proxy.loseRequest(({ command, args }) => command === 'INCRBY' && args[1] === '10')
    expect(await client.incrby('counter', 1)).toBe(1)
    await expect(client.incrby('counter', 10)).rejects.toThrow(/closed|ECONNRESET/)
    await lost
    expect(await direct.get('counter')).toBe('1')
  })

  it('falls silent after a request that the server executed', async () => {
    await using proxy = await startProxy(server.options)
    const client = connectThrough(proxy)
    await direct.set('counter', 0)
    const silent = proxy.fallSilentAfter('INCR')
    const answer = client.incr('counter')
    answer.catch(() => {})
    await silent
    expect(await direct.get('counter')).toBe('1')
    expect(await isPending(answer)).toBe(true)
    expect(client.status).toBe('ready')
    client.disconnect()
    await eventually(() => expect(proxy.connectionCount).toBe(0))
  })

  it('falls silent on all connections, which look open to their clients', async () => {
    await using proxy = await startProxy(server.options)
    const client = connectThrough(proxy)
    await client.ping()
    proxy.fallSilent()
    const answer = client.ping()
    answer.catch(() => {})
    expect(await isPending(answer)).toBe(true)
    expect(client.status).toBe('ready')
    client.disconnect()
  })

  it('holds everything back in a blackhole and delivers it once healed', async () => {
    await using proxy = await startProxy(server.options)
    const client = connectThrough(proxy)
    await client.set('held', 'before')
    proxy.blackhole()
    const answer = client.set('held', 'after')
    expect(await isPending(answer)).toBe(true)
    expect(await direct.get('held')).toBe('before')
    proxy.heal()
    expect(await answer).toBe('OK')
    expect(await direct.get('held')).toBe('after')
    client.disconnect()
  })

  it('refuses new connections, leaves the others alone, and accepts again at the same address', async () => {
    await using proxy = await startProxy(server.options)
    const old = connectThrough(proxy)
    await old.ping()
    proxy.refuse()
    await expect(connectThrough(proxy).ping()).rejects.toThrow(/closed|ECONNREFUSED/)
    expect(await old.ping()).toBe('PONG')
    await proxy.accept()
    const fresh = connectThrough(proxy)
    expect(await fresh.ping()).toBe('PONG')
    for (const client of [old, fresh]) client.disconnect()
  })

  it('delays both directions', async () => {
    await using proxy = await startProxy(server.options)
    const client = connectThrough(proxy)
    await client.ping()
    proxy.delay(50)
    const start = performance.now()
    await client.ping()
    expect(performance.now() - start).toBeGreaterThanOrEqual(100)
    client.disconnect()
  })

  it('chops what it forwards into single bytes', async () => {
    await using proxy = await startProxy(server.options)
    const client = connectThrough(proxy)
    await client.ping()
    proxy.chop()
    expect(await client.set('chopped', 'value ✓')).toBe('OK')
    expect(await client.get('chopped')).toBe('value ✓')
    client.disconnect()
  })

  it('finds the request that a fault waits for in bytes that come one by one', async () => {
    await using outer = await startProxy(server.options)
    await using chopping = await startProxy(outer.address)
    chopping.chop()
    const client = connectThrough(chopping)
    await direct.set('counter', 0)
    const lost = outer.loseReply('INCR')
    await expect(client.incr('counter')).rejects.toThrow(/closed|ECONNRESET/)
    await lost
    expect(await direct.get('counter')).toBe('1')
  })

  it('damages a reply', async () => {
    await using proxy = await startProxy(server.options)
    const client = connectThrough(proxy)
    await client.ping()
    proxy.corruptReply()
    await expect(client.ping()).rejects.toThrow(/RESP type/)
    client.disconnect()
  })

  it('can be stopped while one end of a link is closing', async () => {
    const proxy = await startProxy({ host: server.options.host!, port: server.options.port! })
    const socket = connect(proxy.address as NetConnectOpts)
    socket.on('error', () => {})
    await once(socket, 'connect')
    await eventually(() => expect(proxy.connectionCount).toBe(1))
    proxy.halfClose()
    await proxy.stop()
    expect(proxy.connectionCount).toBe(0)
  })

  it('closes only the reading side of its clients', async () => {
    await using proxy = await startProxy(server.options, { listen: 'tcp' })
    const socket = connect({ ...proxy.address, allowHalfOpen: true } as NetConnectOpts)
    await once(socket, 'connect')
    await eventually(() => expect(proxy.connectionCount).toBe(1))
    proxy.halfClose()
    await once(socket.resume(), 'end')
    socket.write('*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$4\r\nopen\r\n')
    await eventually(async () => expect(await direct.get('half')).toBe('open'))
    socket.destroy()
  })

  it('loses the reply of a commit that Postgres executed', async () => {
    await using postgres = await startPostgres({ own: true })
    await using proxy = await startProxy({ path: postgres.socketPath }, { listen: 'tcp' })
    const client = new Client({ ...postgres.connection, ...proxy.address })
    client.on('error', () => {})
    await client.connect()
    await client.query('CREATE TABLE kept (n int)')
    await client.query('BEGIN')
    await client.query('INSERT INTO kept VALUES (1)')
    const lost = proxy.loseReply('COMMIT')
    await expect(client.query('COMMIT')).rejects.toThrow(/terminated|ECONNRESET/)
    await lost
    const check = new Client(postgres.connection)
    await check.connect()
    expect((await check.query('SELECT n FROM kept')).rows).toEqual([{ n: 1 }])
    await check.end()
  })
})
