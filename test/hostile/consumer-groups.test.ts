import { notes } from '@headwater/conformance'
import { connect, memorySink, setRetention, startWorker, trim } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, log, openOwnLog, server } from '../worker/own-log.ts'
import { drained, partitionKeys } from '../worker/test-log.ts'

const group = 'copy'

openOwnLog()

const append = (id: string) => log.append(notes.put({ id, content: 1 }))

/** Runs a worker until everything is applied; gives the keys at its sink. */
async function applied(): Promise<string[]> {
  const sink = memorySink({ collection: notes })
  await using worker = await startWorker(log, { groups: { [group]: sink } })
  await drained(log, group)
  expect(worker.health().live).toBe(true)
  return [...sink.entries().keys()]
}

describe('a consumer group of ours in which somebody else', () => {
  it('has left ten thousand consumers, of any name, goes on', async () => {
    await append('lamp')
    await applied()
    const { log: stream } = partitionKeys(log, group)
    const names = [
      '\0',
      'a\nb',
      '',
      '{x}',
      '__proto__',
      ...Array.from({ length: 10_000 }, (_, at) => `dead-${at}`),
    ]
    const pipeline = client.pipeline()
    for (const name of names) pipeline.call('XGROUP', 'CREATECONSUMER', stream, group, name)
    await pipeline.exec()
    await append('desk')
    expect(await applied()).toContain('desk')
    expect(await log.groups()).toMatchObject([{ group, lag: 0 }])
  })

  it('has claimed what was applied and trimmed since goes on, and is acknowledged', async () => {
    await setRetention(log, { retentionMs: 0 })
    for (let at = 0; at < 50; at++) await append(`k${at}`)
    await applied()
    const { log: stream } = partitionKeys(log, group)
    const ids = (await client.xrange(stream, '-', '+')).map(([id]) => id)
    await client.call('XCLAIM', stream, group, 'dead\0', '0', ...ids, 'FORCE', 'JUSTID')
    await trim(log)
    expect(await client.xlen(stream)).toBeLessThan(ids.length)
    await append('desk')
    expect(await applied()).toContain('desk')
  })

  it('has set the place to the end or the beginning loses nothing', async () => {
    await append('lamp')
    await applied()
    const { log: stream } = partitionKeys(log, group)
    await append('desk')
    await client.xgroup('SETID', stream, group, '$')
    expect(await applied()).toContain('desk')
    await client.xgroup('SETID', stream, group, '0')
    await append('chair')
    expect(await applied()).toContain('chair')
  })
})

describe('an idempotency key whose change is trimmed', () => {
  it('still gives its first result', async () => {
    await setRetention(log, { retentionMs: 0 })
    const request = notes.put({ id: 'lamp', content: 1 })
    const first = await log.append(request, { idempotencyKey: 'once' })
    await append('desk')
    await trim(log)
    expect(await log.append(request, { idempotencyKey: 'once' })).toEqual({ ...first, duplicate: true })
  })

  it('belongs to its entity and to no other, and the payload of the first counts', async () => {
    const first = await log.append(notes.put({ id: 'lamp', content: 1 }), { idempotencyKey: 'once' })
    const again = await log.append(notes.put({ id: 'lamp', content: 2 }), { idempotencyKey: 'once' })
    expect(again).toEqual({ ...first, duplicate: true })
    expect(await log.append(notes.put({ id: 'desk', content: 2 }), { idempotencyKey: 'once' })).toMatchObject(
      { duplicate: false },
    )
    expect(await log.get(notes, 'lamp')).toMatchObject({ value: { content: 1 } })
  })
})

describe('a log that a later version has written', () => {
  it.each(['2', '999', '-1', '', 'x', '1e3'])('is refused, and not touched: format %j', async (format) => {
    const key = `headwater:{${log.namespace}}:metadata`
    expect(await client.exists(key)).toBe(1)
    await client.hset(key, 'format', format)
    const before = await client.call('DEBUG', 'DIGEST')
    await expect(
      connect(server.options, { namespace: log.namespace, collections: [notes], deadlineMs: 500 }),
    ).rejects.toMatchObject({ code: expect.stringMatching(/^(NAMESPACE_MISMATCH|LOG_DAMAGED)$/) as string })
    expect(await client.call('DEBUG', 'DIGEST')).toBe(before)
  })
})

describe('a group whose record has a number that cannot be', () => {
  it.each([
    ['checkpoint', '1-99999'],
    ['checkpoint', '99-1'],
    ['token', '9007199254740993'],
    ['token', '-1'],
    ['token', '0'],
  ])('still gives its sink everything: %s is %j', async (field, value) => {
    await append('lamp')
    await applied()
    await client.hset(partitionKeys(log, group).group, field, value)
    await append('desk')
    const sink = memorySink({ collection: notes })
    await using worker = await startWorker(log, { groups: { [group]: sink } })
    await eventually(() => expect([...sink.entries().keys()]).toEqual(['lamp', 'desk']))
    expect(worker.health().live).toBe(true)
  })
})
