import { randomUUID } from 'node:crypto'
import {
  connect,
  defineCollection,
  isHeadwaterError,
  setRetention,
  trim,
  type Feed,
  type FeedOptions,
  type Log,
} from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'

const things = defineCollection('things', {
  schema: z.object({ id: z.string(), n: z.int() }),
  key: ({ id }) => id,
})

const retain = { name: 'page', forMs: 10_000 }

startOwnRedis()

const open = (): Promise<Log> =>
  connect(server.options, { namespace: randomUUID(), collections: [things], partitions: 1 })
const append = async (log: Log, count: number): Promise<void> => {
  for (let n = 0; n < count; n++) await log.append(things.put({ id: 'a', n }))
}
/** Behind which position the registry keeps the log for the feed; undefined where it has no such entry. */
const keptAfter = async ({ namespace }: Log): Promise<string | undefined> =>
  (await client.hget(`headwater:{${namespace}:0}:holds`, 'feed:page'))?.split(' ')[0]
const take = async (feed: Feed, count: number): Promise<void> => {
  for (let taken = 0; taken < count; taken++) await feed.next()
}

describe('a feed that is registered with retention', () => {
  it('keeps what its reader has not passed, and lets the rest go', async () => {
    await using log = await open()
    await append(log, 2)
    await using feed = log.feed(things, { retain })
    await feed.started
    expect(await keptAfter(log)).toBe('1-2')
    await append(log, 3)
    await take(feed, 2)
    await eventually(async () => expect(await keptAfter(log)).toBe('1-4'), { timeoutMs: 15_000 })
  }, 20_000)

  it('stays registered when it has ended, and goes on under its name', async () => {
    await using log = await open()
    const first = log.feed(things, { from: 'beginning', retain })
    await append(log, 3)
    await take(first, 1)
    const { position } = first
    first.close()
    expect(await keptAfter(log)).toBe('0-0')
    await using second = log.feed(things, { from: position!, retain })
    await second.started
    expect(await keptAfter(log)).toBe('1-1')
    await take(second, 2)
  })

  it('finds everything again that it had not given, whatever was trimmed while it was away', async () => {
    await using log = await open()
    await setRetention(log, { retentionMs: 0 })
    await append(log, 5)
    const first = log.feed(things, { from: 'beginning', retain })
    await take(first, 2)
    const position = first.position!
    first.close()
    await using second = log.feed(things, { from: position, retain })
    await second.started
    second.close()
    expect(await trim(log)).toMatchObject([{ trimmed: 2, heldBy: { kind: 'feed', name: 'feed:page' } }])
    await using third = log.feed(things, { from: position, retain })
    const next = await third.next()
    expect(next).toMatchObject({ value: { version: '3' } })
  })

  it('is told to refetch where its position is trimmed already', async () => {
    await using log = await open()
    await setRetention(log, { retentionMs: 0 })
    await append(log, 5)
    const first = log.feed(things, { from: 'beginning' })
    await take(first, 2)
    const position = first.position!
    first.close()
    await trim(log)
    await using second = log.feed(things, { from: position, retain })
    const refusal: unknown = await second.next().catch((error: unknown) => error)
    expect(isHeadwaterError(refusal, 'MUST_REFETCH')).toBe(true)
    expect(await keptAfter(log)).toBeUndefined()
  })

  it('is the exception: a feed that does not ask for it holds nothing back', async () => {
    await using log = await open()
    await using feed = log.feed(things, { from: 'beginning' })
    await feed.started
    expect(await keptAfter(log)).toBeUndefined()
  })

  it('is refused by a name or time that cannot be kept', async () => {
    await using log = await open()
    const asked = (wrong: FeedOptions['retain']) => () => log.feed(things, { retain: wrong! })
    expect(asked({ name: 'two words' })).toThrow(/"two words" must be 1 to 100 characters/)
    expect(asked({ name: 'page', forMs: 9_999 })).toThrow(/9999 must be an integer from 10000/)
  })
})
