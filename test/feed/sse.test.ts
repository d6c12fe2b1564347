import { gunzipSync } from 'node:zlib'
import { request } from 'node:http'
import { connect, defineCollection, feedHandler, type FeedPermission, type Log } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { serveFeed } from './feed-server.ts'

const things = defineCollection('things', {
  schema: z.object({ id: z.string(), n: z.int(), text: z.string().optional() }),
  key: ({ id }) => id,
})

const secrets = defineCollection('secrets', { schema: z.object({ id: z.string() }), key: ({ id }) => id })
const collections = [things, secrets]
const everybody = () => true

let names = 0

startOwnRedis({ protocol: 2 })

const open = (): Promise<Log> =>
  connect(server.options, { namespace: `sse-${++names}`, collections, partitions: 2 })

/** An event as it stands in the stream. */
interface Event {
  readonly event: string
  readonly id: string | undefined
  readonly data: { readonly key: string; readonly kind: string; readonly value?: unknown } | undefined
}

/** The body of a response, event by event. */
async function* eventsOf({ body }: Response): AsyncGenerator<Event> {
  let text = ''
  for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
    text += chunk
    const blocks = text.split('\n\n')
    text = blocks.pop()!
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, 'm').exec(block)?.[1]
      const [event, data] = [field('event'), field('data')]
      if (event)
        yield { event, id: field('id'), data: data ? (JSON.parse(data) as Event['data']) : undefined }
    }
  }
}

async function take(events: AsyncGenerator<Event>, count: number): Promise<Event[]> {
  const taken: Event[] = []
  while (taken.length < count) {
    const next = await events.next()
    if (next.done) break
    taken.push(next.value)
  }
  return taken
}

const shown = ({ event, data }: Event): string => (data ? `${data.kind} ${data.key}` : event)

const ask = (query = '', headers: Record<string, string> = {}): Request =>
  new Request(`http://feed.test/feed${query}`, { headers })

describe('a feed over HTTP', () => {
  it('begins with a snapshot, says when it is live, and goes on with changes that carry where to go on', async () => {
    await using log = await open()
    await using handler = feedHandler(log, { collections, authorize: everybody })
    await log.append(things.put({ id: 'a', n: 1 }))
    const response = await handler(ask())
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const events = eventsOf(response)
    expect((await take(events, 3)).map(shown)).toEqual(['snapshot', 'put a', 'live'])
    await log.append(things.put({ id: 'b', n: 2 }))
    const changes = await take(events, 1)
    await log.append(things.delete('a'))
    changes.push(...(await take(events, 1)))
    expect(changes.map(shown)).toEqual(['put b', 'delete a'])
    expect(changes[0]!.data!.value).toEqual({ id: 'b', n: 2 })
    await events.return(undefined)
    expect(handler.subscriptions).toBe(0)

    await log.append(things.put({ id: 'c', n: 3 }))
    const again = eventsOf(await handler(ask('?from=snapshot', { 'last-event-id': changes[0]!.id! })))
    const missed = (await take(again, 3)).map(shown).filter((text) => text !== 'live')
    expect(missed.toSorted()).toEqual(['delete a', 'put c'])
    await again.return(undefined)
  })

  it('asks who may see what, for each subscription', async () => {
    await using log = await open()
    const asked: string[] = []
    const rights: Record<string, FeedPermission> = {
      all: true,
      some: { where: ({ key }) => key !== 'hidden' },
      login: new Response('who are you?', { status: 401 }),
    }
    await using handler = feedHandler(log, {
      collections,
      authorize: ({ request, collection }) => {
        asked.push(collection.name)
        return collection === things && (rights[request.headers.get('authorization') ?? ''] ?? false)
      },
    })
    await log.append(things.put({ id: 'hidden', n: 1 }))
    await log.append(things.put({ id: 'open', n: 1 }))
    expect((await handler(ask('', { authorization: 'nobody' }))).status).toBe(403)
    expect((await handler(ask('?collection=secrets', { authorization: 'all' }))).status).toBe(403)
    expect((await handler(ask('', { authorization: 'login' }))).status).toBe(401)
    const all = eventsOf(await handler(ask('', { authorization: 'all' })))
    expect((await take(all, 4)).map(shown).toSorted()).toEqual(['live', 'put hidden', 'put open', 'snapshot'])
    const some = eventsOf(await handler(ask('', { authorization: 'some' })))
    expect((await take(some, 3)).map(shown)).toEqual(['snapshot', 'put open', 'live'])
    await log.append(things.put({ id: 'hidden', n: 2 }))
    await log.append(things.put({ id: 'open', n: 2 }))
    expect((await take(some, 1)).map(shown)).toEqual(['put open'])
    expect(asked).toEqual(['things', 'secrets', 'things', 'things', 'things'])
    await Promise.all([all.return(undefined), some.return(undefined)])
  })

  it('selects keys, and refuses what it does not know', async () => {
    await using log = await open()
    await using handler = feedHandler(log, { collections, authorize: everybody, subscriptionsMax: 1 })
    for (const id of ['a', 'ab', 'b', 'c']) await log.append(things.put({ id, n: 1 }))
    const selected = eventsOf(await handler(ask('?key=c&prefix=a')))
    const keys = (await take(selected, 5)).flatMap(({ data }) => data?.key ?? [])
    expect(keys.toSorted()).toEqual(['a', 'ab', 'c'])
    expect((await handler(ask())).status).toBe(503)
    await selected.return(undefined)
    expect((await handler(ask('?collection=nothing'))).status).toBe(404)
    expect(await (await handler(ask('?from=yesterday'))).json()).toMatchObject({ code: 'POSITION_INVALID' })
    expect((await handler(new Request('http://feed.test/feed', { method: 'POST' }))).status).toBe(405)
  })

  it('says must-refetch and forgets the position, instead of leaving something out', async () => {
    await using log = await open()
    await using handler = feedHandler(log, { collections, authorize: everybody })
    const events = eventsOf(await handler(ask('?from=now')))
    const [live] = await take(events, 1)
    await events.return(undefined)
    for (let n = 0; n < 20; n++) await log.append(things.put({ id: `k${n}`, n }))
    for (let partition = 0; partition < 2; partition++) {
      await client.xtrim(`headwater:{${log.namespace}:${partition}}:log`, 'MAXLEN', 0)
    }
    const late = eventsOf(await handler(ask('', { 'last-event-id': live!.id! })))
    const last = (await take(late, 10)).at(-1)!
    expect(last).toMatchObject({ event: 'must-refetch', id: '' })
  })

  it('compresses for those who ask for it, and holds no event back', async () => {
    await using log = await open()
    await using handler = feedHandler(log, { collections, authorize: everybody })
    await using http = await serveFeed(handler)
    for (let n = 0; n < 200; n++) await log.append(things.put({ id: `k${n}`, n, text: 'again and again' }))
    const chunks: Buffer[] = []
    const asked = request(
      http.url,
      { headers: { 'accept-encoding': 'br;q=1.0, gzip;q=0.8' } },
      (response) => {
        expect(response.headers['content-encoding']).toBe('gzip')
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
      },
    )
    asked.on('error', () => {})
    asked.end()
    const text = () => gunzipSync(Buffer.concat(chunks), { finishFlush: 2 }).toString()
    await eventually(() => expect(text()).toContain('event: live'))
    expect(Buffer.concat(chunks).length).toBeLessThan(text().length / 4)
    await log.append(things.put({ id: 'one', n: 1 }))
    await eventually(() => expect(text()).toContain('"key":"one"'))
    asked.destroy()
    await eventually(() => expect(handler.subscriptions).toBe(0))

    const plain = await handler(ask('', { 'accept-encoding': 'gzip;q=0, identity' }))
    expect(plain.headers.get('content-encoding')).toBeNull()
    await plain.body!.cancel()
  })

  it('sends a sign of life into a silence', async () => {
    await using log = await open()
    await using handler = feedHandler(log, { collections, authorize: everybody, heartbeatMs: 20 })
    const response = await handler(ask('?from=now'))
    let text = ''
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk
      if (text.split(': still here').length > 3) break
    }
    expect(text).toContain('event: live')
  })

  it('keeps little for a client that does not read, and gives it everything when it does', async () => {
    await using log = await open()
    await using handler = feedHandler(log, { collections, authorize: everybody, buffer: 50 })
    const response = await handler(ask('?from=now'))
    const reader = eventsOf(response)
    await take(reader, 1)
    const text = 'x'.repeat(2_000)
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        Array.from({ length: 100 }, (_, n) => log.append(things.put({ id: `k${n}`, n: round, text }))),
      )
    }
    const changes = await take(reader, 2_000)
    expect(new Set(changes.map(({ id }) => id)).size).toBe(2_000)
    await reader.return(undefined)
  })

  it('ends its streams when it closes, and tells clients when to come back', async () => {
    await using log = await open()
    const handler = feedHandler(log, { collections, authorize: everybody })
    const reading = handler(ask('?from=now')).then((response) => response.text())
    const unread = await handler(ask())
    await eventually(() => expect(handler.subscriptions).toBe(2))
    await handler.close()
    expect(await reading).toMatch(/retry: \d+\n\n$/)
    expect(handler.subscriptions).toBe(0)
    expect((await handler(ask())).status).toBe(503)
    await unread.body!.cancel()
  })
})
