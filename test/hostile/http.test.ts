import { connect as connectSocket } from 'node:net'
import { notes } from '@headwater/conformance'
import { feedHandler, type FeedHandler, type FeedPermission } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { parseProbeAddress, ProbeServer } from '../../packages/cli/src/probe-server.ts'
import { log, openSharedLog } from '../worker/shared-log.ts'

openSharedLog()

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
    // Set to nothing it would guard nothing, and whoever set it would not know.
    for (const token of ['', 'two words', 'tab\t', '\u00e9'])
      expect(() => new ProbeServer(token)).toThrow(/HEADWATER_HTTP_TOKEN/)
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

/** A probe server of this machine, with a token. */
async function guarded(host = '127.0.0.1'): Promise<{ port: number } & Disposable> {
  const probes = new ProbeServer('the-token')
  const port = await probes.listen({ host, port: 0 })
  return { port, [Symbol.dispose]: () => probes.close() }
}

const healthz = (host: string): string => `GET /healthz HTTP/1.1\r\n${host}connection: close\r\n\r\n`

const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? 0)

describe('the probes of a worker, asked by a browser that was led here by a name,', () => {
  it.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example:9464',
    'evil.example:9464',
    '',
    'a b',
    '[::1',
    'localhost@evil',
    '\u0130',
  ])('do not answer to the host %j', async (host) => {
    using at = await guarded()
    expect([400, 421]).toContain(statusOf(await raw(at.port, healthz(`host: ${host}\r\n`))))
    // What a proxy is said to have been asked counts for nothing.
    const spoofed = `host: ${host}\r\nx-forwarded-host: localhost\r\nx-forwarded-for: 127.0.0.1\r\n`
    expect([400, 421]).toContain(statusOf(await raw(at.port, healthz(spoofed))))
  })

  it.each(['localhost', 'LOCALHOST:9464', '127.0.0.1', '10.1.2.3:9464', '[::1]:9464'])(
    'answer to %s, which nobody can make lead elsewhere',
    async (host) => {
      using at = await guarded()
      expect(statusOf(await raw(at.port, healthz(`host: ${host}\r\n`)))).toBe(200)
    },
  )

  it('answer to any host where they listen to everybody', async () => {
    using at = await guarded('0.0.0.0')
    expect(statusOf(await raw(at.port, healthz('host: worker-7.example\r\n')))).toBe(200)
  })
})

describe('the probes of a worker, sent what is no whole request,', () => {
  const get = 'GET /healthz HTTP/1.1\r\nhost: localhost\r\n'

  it.each<[string, string, readonly number[]]>([
    [
      'a body that is cut',
      `POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\nconnection: close\r\n\r\nab`,
      [405],
    ],
    [
      'a body longer than it says',
      `${get}content-length: 2\r\nconnection: close\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n`,
      [200, 400],
    ],
    ['two lengths', `${get}content-length: 2\r\ncontent-length: 3\r\n\r\nab`, [400]],
    ['a length and chunks', `${get}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`, [400]],
    ['a length below zero', `${get}content-length: -1\r\n\r\n`, [400]],
    [
      'a gigabyte, they are told',
      `POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1073741824\r\nconnection: close\r\n\r\n`,
      [405],
    ],
    ['an expectation that nobody has', `${get}expect: the-unexpected\r\nconnection: close\r\n\r\n`, [417]],
    ['ten thousand headers', `${get}${'a: b\r\n'.repeat(10_000)}\r\n`, [431]],
    ['a header of 100 kB', `${get}a: ${'b'.repeat(100_000)}\r\n\r\n`, [431]],
    ['a header that is split', `${get}a: b\rc: d\r\n\r\n`, [400]],
    ['a NUL', 'GET /\0 HTTP/1.1\r\nhost: localhost\r\n\r\n', [400]],
    [
      'a path in the form of proxies',
      'GET http://evil.example/metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
      [401, 404],
    ],
    ['CONNECT', 'CONNECT evil.example:443 HTTP/1.1\r\nhost: localhost\r\n\r\n', [0]],
    ['an upgrade', `${get}connection: upgrade, close\r\nupgrade: websocket\r\n\r\n`, [200]],
    ['TLS', '\u0016\u0003\u0001\u0002', [400]],
  ])('refuse %s, or answer as ever, and go on', async (_, request, expected) => {
    using at = await guarded()
    expect(expected).toContain(statusOf(await raw(at.port, request)))
    expect(statusOf(await raw(at.port, `${get}connection: close\r\n\r\n`))).toBe(200)
  })

  it('let go of those who never come to an end, and answer others meanwhile', async () => {
    using at = await guarded()
    const slow = Array.from({ length: 50 }, () => raw(at.port, `${get}a: `))
    expect(statusOf(await raw(at.port, `${get}connection: close\r\n\r\n`))).toBe(200)
    expect(new Set((await Promise.all(slow)).map(statusOf))).toEqual(new Set([408]))
  })
})

describe('what the probes of a worker answer', () => {
  it('tells strangers neither version nor host, and keeps to itself what it is no page for', async () => {
    using at = await guarded()
    const answer = await raw(at.port, 'GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
    const [head, body] = answer.split('\r\n\r\n')
    expect(body).toBe('{"live":true}\n')
    expect(
      head!
        .toLowerCase()
        .split('\r\n')
        .slice(1)
        .map((line) => line.split(':')[0]!)
        .toSorted((a, b) => a.localeCompare(b)),
    ).toEqual([
      'cache-control',
      'connection',
      'content-length',
      'content-type',
      'date',
      'x-content-type-options',
    ])
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
