import { randomUUID } from 'node:crypto'
import { connect, defineCollection, memorySink, repair, verify, type VerifyReport } from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'

const schema = z.object({ id: z.string() })
const key = ({ id }: { id: string }): string => id
const visits = defineCollection('visits', { schema, key, state: 'none' })
const people = defineCollection('people', { schema, key })
const strangers = defineCollection('strangers', { schema, key })

let server: RedisServer
beforeAll(async () => (server = await startRedis()))
afterAll(() => server.stop())

const report = { group: 'copy', deep: false, differences: [] } as unknown as VerifyReport

describe('verify and repair', () => {
  it.each([
    [
      'a collection that keeps no state',
      memorySink({ collection: visits }),
      'STATE_REQUIRED',
      /visits is defined with state "none", so the log keeps nothing to compare with/,
    ],
    [
      'a sink that takes events',
      { ...memorySink({ collection: people }), takes: 'events' as const },
      'STATE_REQUIRED',
      /it takes events, and the log keeps the states of people/,
    ],
    [
      'a sink that cannot be read',
      { ...memorySink({ collection: people }), read: undefined },
      'SINK_CONTRACT',
      /declares neither list nor read/,
    ],
    [
      'a collection that connect was not given',
      memorySink({ collection: strangers }),
      'COLLECTION_UNKNOWN',
      /strangers, which was not given to connect/,
    ],
  ])('refuse %s, and say why', async (_, sink, code, message) => {
    const namespace = `${server.namespacePrefix}${randomUUID()}`
    await using log = await connect(server.options, { namespace, collections: [visits, people] })
    const refusal = { code, message: expect.stringMatching(message) as string }
    await expect(verify(log, sink, { group: 'copy' })).rejects.toMatchObject(refusal)
    await expect(repair(log, sink, report)).rejects.toMatchObject(refusal)
  })
})
