import { FeedRefusedError, followCollection, type LiveCollection, type LiveEvent } from '@headwater/client'
import { connect, defineCollection, feedHandler, type Log } from '@headwater/core'
import { startProxy } from '@headwater/local-servers'
import { build } from 'esbuild'
import { gzipSync } from 'node:zlib'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { serveFeed } from './feed-server.ts'

const schema = z.object({ id: z.string(), n: z.int() })
const things = defineCollection('things', { schema, key: ({ id }) => id })
type Thing = z.infer<typeof schema>

const quick = { firstMs: 20, maxMs: 100 }

let names = 0

startOwnRedis({ protocol: 2 })

const open = (): Promise<Log> =>
  connect(server.options, { namespace: `client-${++names}`, collections: [things], partitions: 2 })

const thing = (id: string, n: number) => things.put({ id, n })

function held(collection: LiveCollection<Thing>): Record<string, number> {
  const entries = [...collection].map(([key, { n }]) => [key, n] as const)
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** Everything that happens to a collection, in words. */
function diaryOf(collection: LiveCollection<Thing>): string[] {
  const diary: string[] = []
  collection.subscribe((event: LiveEvent<Thing>) => {
    if (event.kind === 'status') diary.push(event.status)
    else if (event.kind === 'delete') diary.push(`-${event.key} (was ${event.previous.n})`)
    else diary.push(`${event.key}=${event.value.n} (was ${event.previous?.n})`)
  })
  return diary
}

describe('a live collection', () => {
  it('holds what the log holds, and tells what changes', async () => {
    await using log = await open()
    await using handler = feedHandler(log, { collections: [things], authorize: () => true })
    await using http = await serveFeed(handler)
    await log.append(thing('a', 1))
    const collection = followCollection<Thing>(http.url)
    const diary = diaryOf(collection)
    expect(collection.status).toBe('connecting')
    await collection.ready
    expect(collection.get('a')).toEqual({ id: 'a', n: 1 })
    expect(collection.size).toBe(1)
    for (const change of [thing('b', 2), thing('b', 3), things.delete('a')]) {
      const { length } = diary
      await log.append(change)
      await eventually(() => expect(diary.length).toBe(length + 1))
    }
    expect(diary).toEqual(['a=1 (was undefined)', 'live', 'b=2 (was undefined)', 'b=3 (was 2)', '-a (was 1)'])
    expect([...collection.keys()]).toEqual(['b'])
    expect([...collection.values()]).toEqual([{ id: 'b', n: 3 }])
    expect(collection.has('a')).toBe(false)
    collection.close()
    expect(collection.status).toBe('closed')
    await eventually(() => expect(handler.subscriptions).toBe(0))
  })

  it('goes on where it was when its connection is cut, refused or silent', async () => {
    await using log = await open()
    const starts: (string | null)[] = []
    await using handler = feedHandler(log, {
      collections: [things],
      heartbeatMs: 50,
      authorize: ({ request }) => {
        starts.push(new URL(request.url).searchParams.get('from'))
        return request.headers.get('authorization')?.startsWith('token ') ?? false
      },
    })
    await using http = await serveFeed(handler)
    await using proxy = await startProxy({ host: http.host, port: http.port })
    let tokens = 0
    const collection = followCollection<Thing>(
      `http://127.0.0.1:${proxy.address.port}/feed?collection=things`,
      {
        reconnect: quick,
        silenceMs: 400,
        headers: () => ({ authorization: `token ${++tokens}` }),
      },
    )
    await log.append(thing('a', 0))
    await collection.ready
    const diary = diaryOf(collection)

    proxy.cut()
    await log.append(thing('a', 1))
    await eventually(() => expect(held(collection)).toEqual({ a: 1 }))
    proxy.blackhole()
    await log.append(thing('a', 2))
    await eventually(() => expect(collection.status).toBe('waiting'))
    proxy.heal()
    await eventually(() => expect(held(collection)).toEqual({ a: 2 }))
    proxy.refuse()
    proxy.cut()
    await log.append(thing('a', 3))
    await eventually(() => expect(collection.status).toBe('waiting'))
    await proxy.accept()
    await eventually(() => expect(held(collection)).toEqual({ a: 3 }))

    expect(diary.filter((line) => line.startsWith('a='))).toEqual([
      'a=1 (was 0)',
      'a=2 (was 1)',
      'a=3 (was 2)',
    ])
    expect(starts[0]).toBeNull()
    expect(starts.slice(1).every((from) => from !== null)).toBe(true)
    expect(tokens).toBeGreaterThan(3)
    collection.close()
  })

  it('fetches a new copy when it must, and tells only what differs', async () => {
    await using log = await open()
    await using handler = feedHandler(log, { collections: [things], authorize: () => true })
    await using http = await serveFeed(handler)
    await using proxy = await startProxy({ host: http.host, port: http.port })
    for (const id of ['same', 'gone', 'new']) await log.append(thing(id, 1))
    const collection = followCollection<Thing>(`http://127.0.0.1:${proxy.address.port}/`, {
      reconnect: quick,
    })
    await collection.ready
    const diary = diaryOf(collection)
    proxy.refuse()
    proxy.cut()
    await eventually(() => expect(collection.status).toBe('waiting'))
    await log.append(things.delete('gone'))
    await log.append(thing('new', 2))
    for (let partition = 0; partition < 2; partition++) {
      await client.xtrim(`headwater:{${log.namespace}:${partition}}:log`, 'MAXLEN', 0)
    }
    await proxy.accept()
    await eventually(() => expect(held(collection)).toEqual({ new: 2, same: 1 }))
    expect(diary.filter((line) => /[=-]/.test(line)).toSorted()).toEqual(['-gone (was 1)', 'new=2 (was 1)'])
    collection.close()
  })

  it('stops when the server refuses it, and says why', async () => {
    await using log = await open()
    await using handler = feedHandler(log, { collections: [things], authorize: () => false })
    await using http = await serveFeed(handler)
    const collection = followCollection<Thing>(http.url)
    await expect(collection.ready).rejects.toBeInstanceOf(FeedRefusedError)
    await expect(collection.ready).rejects.toMatchObject({ status: 403, code: 'FORBIDDEN' })
    expect(collection.status).toBe('closed')

    const controller = new AbortController()
    const aborted = followCollection<Thing>('http://127.0.0.1:9/', {
      signal: controller.signal,
      reconnect: quick,
    })
    await eventually(() => expect(aborted.status).toBe('waiting'))
    controller.abort()
    await expect(aborted.ready).rejects.toThrow(/closed/)
  })

  it('does not come back at the same moment as all others', async () => {
    const attempts: number[] = []
    const refusing = (): Promise<Response> => {
      attempts.push(performance.now())
      return Promise.resolve(new Response('', { status: 503 }))
    }
    const all = Array.from({ length: 200 }, () =>
      followCollection('http://feed.test/', { fetch: refusing, reconnect: { firstMs: 300, maxMs: 300 } }),
    )
    await eventually(() => expect(attempts.length).toBeGreaterThan(380))
    for (const collection of all) collection.close()
    const again = attempts.slice(200, 380)
    const slots = new Set(again.map((at) => Math.floor((at - attempts[0]!) / 30)))
    expect(slots.size).toBeGreaterThan(5)
  })

  it('is smaller than 5 kB, compressed, and needs nothing else', async () => {
    const entry = fileURLToPath(new URL('../../packages/client/src/index.ts', import.meta.url))
    const { outputFiles, metafile } = await build({
      entryPoints: [entry],
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      target: 'es2022',
      write: false,
      metafile: true,
    })
    expect(gzipSync(outputFiles[0]!.contents).length).toBeLessThan(5_000)
    expect(Object.keys(metafile.inputs).every((path) => path.includes('packages/client/src/'))).toBe(true)
  })
})
