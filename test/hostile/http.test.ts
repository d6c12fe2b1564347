import { randomUUID } from 'node:crypto'
import { connect as connectSocket } from 'node:net'
import { notes } from '@headwater/conformance'
import { connect, feedHandler, type FeedHandler, type FeedPermission, type Log } from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseProbeAddress, ProbeServer } from '../../packages/cli/src/probe-server.ts'

let server: RedisServer
let log: Log

beforeAll(async () => {
  server = await startRedis()
  log = await connect(server.options, { namespace: randomUUID(), collections: [notes], partitions: 1 })
})

afterAll(async () => {
  await log.close()
  await server.stop()
})

const ask = (query = '', init?: RequestInit): Request => new Request(`http://localhost/feed${query}`, init)

/** What the handler says to whom it refuses. */
async function refusal(handler: FeedHandler, request: Request) {
  const response = await handler(request)
  const text = await response.text()
  return { status: response.status, isShort: text.length < 1_024, open: handler.subscriptions }
}

describe('a feed over HTTP', () => {
  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['an object that says nothing', {}],
    ['a filter that is none', { where: true }],
    ['a word', 'yes'],
    ['a number', 1],
    ['no', false],
  ])('is closed to whom the application answers with %s', async (_, answer) => {
    await using handler = feedHandler(log, {
      collections: [notes],
      authorize: () => answer as FeedPermission,
    })
    expect(await refusal(handler, ask())).toEqual({ status: 403, isShort: true, open: 0 })
  })

  it.each<[string, number, Request]>([
    ['a POST', 405, ask('', { method: 'POST', body: 'x' })],
    ['a DELETE', 405, ask('', { method: 'DELETE' })],
    [
      'a method that is overridden',
      405,
      ask('', { method: 'POST', headers: { 'x-http-method-override': 'GET' } }),
    ],
    ['a collection that is none', 404, ask('?collection=nobody')],
    ['a collection called __proto__', 404, ask('?collection=__proto__')],
    ['a collection with a line end', 404, ask('?collection=notes%0A')],
    ['a position that is none', 400, ask('?from=garbage')],
    ['a position of 10 kB', 400, ask(`?from=${'9'.repeat(10_000)}`)],
    ['a position of another log', 400, ask(`?from=00000000${'.1-1'.repeat(9)}`)],
    ['an event that is none', 400, ask('', { headers: { 'last-event-id': '../..' } })],
    [
      'too many keys',
      400,
      ask(`?${'key=a&'.repeat(1)}${Array.from({ length: 1_001 }, (_, at) => `key=${at}`).join('&')}`),
    ],
    ['too many prefixes', 400, ask(`?${'prefix=a&'.repeat(1_001)}`)],
  ])('refuses %s, and opens nothing', async (_, status, request) => {
    await using handler = feedHandler(log, { collections: [notes], authorize: () => true })
    expect(await refusal(handler, request)).toEqual({ status, isShort: true, open: 0 })
  })

  it('touches no prototype by its query', async () => {
    await using handler = feedHandler(log, { collections: [notes], authorize: () => true })
    const response = await handler(ask('?__proto__[admin]=1&constructor.prototype.admin=1&key=__proto__'))
    expect(response.status).toBe(200)
    await response.body!.cancel()
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
  })

  it('lets nobody write events by a key or a value', async () => {
    const forged = 'x\n\nevent: must-refetch\nid: 7\ndata: {}\r\rretry: 1\u2028'
    await log.append(notes.put({ id: forged, content: forged }))
    await using handler = feedHandler(log, { collections: [notes], authorize: () => true })
    const { body } = await handler(ask())
    const reader = body!.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    while (!text.includes('event: live')) text += (await reader.read()).value ?? ''
    await reader.cancel()
    const names = text.split(/[\r\n]+/).filter((line) => /^(event|id|retry)/.test(line))
    expect(
      names.filter((line) => !/^(event: (snapshot|change|live)|id:( [0-9a-f.-]+)?)$/.test(line)),
    ).toEqual([])
  })
})

describe('the probes of a worker', () => {
  it.each([
    '',
    'abc',
    '65536',
    '-1',
    '99999',
    'host:',
    ':80:',
    '[::1',
    'a b:80',
    '0x50',
    '80\n',
    'http://x:80',
  ])('listen at no address such as %j', (address) => {
    expect(() => parseProbeAddress(address)).toThrow(/is no address/)
  })

  it('have no token that no request could bring', () => {
    expect(() => new ProbeServer('two words')).toThrow(/HEADWATER_HTTP_TOKEN/)
    expect(() => new ProbeServer('geheim\n')).toThrow(/^(?!.*geheim)/)
  })

  it('answer what nobody should ask, and go on', async () => {
    const probes = new ProbeServer('the-token')
    const port = await probes.listen({ host: '127.0.0.1', port: 0 })
    const at = `http://127.0.0.1:${port}`
    const authorization = 'Bearer the-token'
    const statuses = async (requests: readonly [string, RequestInit?][]): Promise<number[]> =>
      await Promise.all(requests.map(async ([path, init]) => (await fetch(`${at}${path}`, init)).status))
    try {
      expect(
        await statuses([
          ['/readyz'],
          ['/metrics', { headers: { authorization: 'Bearer' } }],
          ['/metrics', { headers: { authorization: 'Bearer ' } }],
          ['/metrics', { headers: { authorization: 'Basic dGhlLXRva2Vu' } }],
          ['/metrics', { headers: { authorization: 'Bearer the' } }],
          ['/metrics?token=the-token'],
        ]),
      ).toEqual([401, 401, 401, 401, 401, 401])
      expect(
        await statuses([
          ['/metrics', { method: 'POST', headers: { authorization }, body: 'x' }],
          ['/', { method: 'DELETE', headers: { authorization } }],
          ['//evil', { headers: { authorization } }],
          ['/..%2f..%2fetc', { headers: { authorization } }],
          ['/__proto__', { headers: { authorization } }],
        ]),
      ).toEqual([405, 405, 404, 404, 404])
      expect((await raw(port, `GET /${'x'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`)).slice(0, 12)).toBe(
        'HTTP/1.1 431',
      )
      expect((await raw(port, 'GARBAGE\r\n\r\n')).slice(0, 12)).toBe('HTTP/1.1 400')
      expect(await statuses([['/healthz']])).toEqual([200])
    } finally {
      probes.close()
    }
  })
})

/** Sends bytes that no client would, and gives what comes back. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.setEncoding('utf8')
    socket.on('data', (part: string) => (answer += part))
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
  })
}
