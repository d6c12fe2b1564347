import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import { connect, type AppendResult, type Log } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { client, openSharedRedis, server } from '../support/shared-redis.ts'

const windowMs = 10_000

openSharedRedis()

describe('an idempotency key', () => {
  it('gives every retry the first result for at least the window, and is free again after two', async () => {
    await using log = await open()
    const first = await put(log, 'order-1')
    expect(await put(log, 'order-1')).toEqual({ ...first, duplicate: true })

    await pass(log, windowMs + 1)
    await put(log, 'order-2')
    expect(await put(log, 'order-1')).toEqual({ ...first, duplicate: true })

    await pass(log, windowMs + 1)
    await put(log, 'order-3')
    expect(await put(log, 'order-2')).toMatchObject({ version: '2', duplicate: true })
    expect(await put(log, 'order-1')).toMatchObject({ version: '4', duplicate: false })
  })

  it('belongs to its entity: another one may use it too', async () => {
    await using log = await open()
    const [lamp, chair] = await Promise.all([put(log, 'order-1'), put(log, 'order-1', 'chair')])
    expect([lamp, chair]).toMatchObject([
      { version: '1', duplicate: false },
      { version: '1', duplicate: false },
    ])
  })

  it('is free again after a conflict, so that the corrected retry is stored', async () => {
    await using log = await open()
    const options = { idempotencyKey: 'order-1' }
    const change = notes.put({ id: 'lamp', content: 1 })
    await expect(log.append(change, { ...options, expected: 'exists' })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
    })
    expect(await log.append(change, { ...options, expected: 'absent' })).toMatchObject({
      version: '1',
      duplicate: false,
    })
  })

  it('is refused for an append of another length, and names what is wrong', async () => {
    await using log = await open()
    await put(log, 'order-1')
    const both = [notes.put({ id: 'lamp', content: 1 }), notes.put({ id: 'chair', content: 2 })]
    await expect(log.append(both, { idempotencyKey: 'order-1' })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining('another append needs another key') as string,
    })
    expect(await log.get(notes, 'chair')).toBeUndefined()
  })
})

function open(): Promise<Log> {
  const namespace = `${server.namespacePrefix}${randomUUID()}`
  return connect(server.url, {
    namespace,
    collections: [notes],
    partitions: 1,
    idempotencyWindowMs: windowMs,
  })
}

function put(log: Log, idempotencyKey: string, id = 'lamp'): Promise<AppendResult> {
  return log.append(notes.put({ id, content: idempotencyKey }), { idempotencyKey })
}

/** Lets time pass for the results that are kept: what they are as old as is written in the header. */
async function pass({ namespace }: Log, ms: number): Promise<void> {
  await client.hincrby(`headwater:{${namespace}:0}:header`, 'results-since', -ms)
}
