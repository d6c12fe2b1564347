import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import { connect, type Log } from '@headwater/core'
import { startProxy } from '@headwater/local-servers'
import { afterEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { rawChanges } from '../support/raw-log.ts'

startOwnRedis()

afterEach(async () => {
  await client.config('SET', 'maxmemory', '0')
})

const fill = () => client.config('SET', 'maxmemory', '1')
const makeRoom = () => client.config('SET', 'maxmemory', '0')

describe('a Redis at its memory limit', () => {
  it('refuses appends with a reason that says nothing was stored', async () => {
    const namespace = randomUUID()
    await using log = await open(namespace, { deadlineMs: 1_000 })
    await log.append(notes.put({ id: 'lamp', content: 1 }))
    await fill()
    const refused = log.append(notes.put({ id: 'lamp', content: 2 }), { idempotencyKey: 'two' })
    await expect(refused).rejects.toMatchObject({ code: 'REDIS_FULL', retryable: true })
    await makeRoom()
    expect(await rawChanges(client, namespace, 0)).toHaveLength(1)
    const again = await log.append(notes.put({ id: 'lamp', content: 2 }), { idempotencyKey: 'two' })
    expect(again).toMatchObject({ version: '2', duplicate: false })
  })

  it('takes an append that was waiting as soon as there is room', async () => {
    await using log = await open(randomUUID())
    const before = await refusals()
    await fill()
    const waiting = log.append(notes.put({ id: 'lamp', content: 1 }))
    await eventually(async () => expect(await refusals()).toBeGreaterThan(before))
    await makeRoom()
    expect(await waiting).toMatchObject({ version: '1', duplicate: false })
  })

  it('gives the result of a batch that it had stored before it was full', async () => {
    const namespace = randomUUID()
    await using proxy = await startProxy(server.options)
    await using log = await connect(
      { ...server.options, ...proxy.address },
      { namespace, collections: [notes], partitions: 1 },
    )
    await log.append(notes.put({ id: 'lamp', content: 1 }))
    const lost = proxy.loseReply('EVALSHA')
    proxy.refuse()
    const appending = log.append(notes.put({ id: 'lamp', content: 2 }))
    await lost
    await fill()
    await proxy.accept()
    expect(await appending).toMatchObject({ version: '2', duplicate: false })
    expect(await rawChanges(client, namespace, 0)).toHaveLength(2)
  })
})

function open(namespace: string, options: { deadlineMs?: number } = {}): Promise<Log> {
  return connect(server.options, { namespace, collections: [notes], partitions: 1, ...options })
}

/** Calls of scripts that failed, of whatever client. */
async function refusals(): Promise<number> {
  const statistics = await client.info('commandstats')
  return Number(/^cmdstat_evalsha:.*failed_calls=(\d+)/m.exec(statistics)?.[1] ?? 0)
}
