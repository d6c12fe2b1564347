import { randomUUID } from 'node:crypto'
import { notes, type Note } from '@headwater/conformance'
import { connect, findLost, memorySink, repair, startWorker, verify, type Log } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { drained } from '../worker/test-log.ts'

let server: OwnRedisServer
let log: Log

beforeEach(async () => {
  server = await startRedis({ own: true })
  log = await connect(server.options, { namespace: randomUUID(), collections: [notes], partitions: 2 })
})

afterEach(async () => {
  await log.close()
  await server.stop()
})

const put = (id: string, content: number) => log.append(notes.put({ id, content }))
const contents = (sink: { entries(): ReadonlyMap<string, Note> }) =>
  Object.fromEntries([...sink.entries()].map(([key, { content }]) => [key, content]))

/** `kept`, `changed` and `deleted` survive with 1; what comes after is acknowledged, reaches the sink, and is lost. */
async function loseSome() {
  const sink = memorySink({ collection: notes })
  const worker = await startWorker(log, { groups: { copy: sink }, leaseMs: 600 })
  for (const id of ['kept', 'changed', 'deleted']) await put(id, 1)
  await drained(log, 'copy')
  const client = new Redis(server.options)
  await client.save()
  client.disconnect()
  const changed = await put('changed', 2)
  const deleted = await log.append(notes.delete('deleted'))
  const made = await put('made', 2)
  await drained(log, 'copy')
  await server.kill('SIGKILL')
  await server.restart()
  return { sink, worker, positions: [changed, deleted, made].map(({ position }) => position) }
}

describe('what a restored older copy has lost', () => {
  it('is named by key and position, and nothing else is', async () => {
    const { sink, worker, positions } = await loseSome()
    await put('kept', 3)
    await drained(log, 'copy')
    const { keys, ranges, checked, group } = await eventually(async () => {
      const report = await findLost(log, sink)
      // The worker notes them on its own.
      expect(report.ranges).not.toEqual([])
      return report
    })
    const byKey = keys.toSorted((a, b) => (a.key < b.key ? -1 : 1))
    expect(byKey).toMatchObject([
      { key: 'changed', position: positions[0], deleted: false, value: { content: 2 } },
      { key: 'deleted', position: positions[1], deleted: true },
      { key: 'made', position: positions[2], deleted: false, log: undefined },
    ])
    expect({ group, checked }).toEqual({ group: 'copy', checked: 4 })
    for (const { what } of ranges) expect(what).toMatch(/^\d+-\d+ of epoch 1$/)
    await worker.stop()
  })

  it('is not named where something newer has replaced it', async () => {
    const { sink, worker } = await loseSome()
    for (const id of ['changed', 'deleted', 'made']) await put(id, 4)
    await drained(log, 'copy')
    expect((await findLost(log, sink, { group: 'copy' })).keys).toEqual([])
    await worker.stop()
  })

  it('is taken back at the sink where one decides for the log', async () => {
    const { sink, worker } = await loseSome()
    const { keys, group } = await findLost(log, sink)
    const differences = keys.map(({ key, log: held }) => ({
      key,
      verdict: 'foreign' as const,
      log: held,
      sink: undefined,
    }))
    const report = await repair(log, sink, { group, differences, deep: false }, { foreign: 'remove' })
    expect(report).toMatchObject({ mended: 3, failed: 0 })
    expect(contents(sink)).toEqual({ kept: 1, changed: 1, deleted: 1 })
    expect((await findLost(log, sink)).keys).toEqual([])
    expect(await verify(log, sink, { group })).toMatchObject({ equal: true })
    await worker.stop()
  })

  it('enters the log again where one decides for the sink, and so comes to the others', async () => {
    const { sink, worker } = await loseSome()
    const other = memorySink({ collection: notes })
    const others = await startWorker(log, { groups: { other }, leaseMs: 600 })
    const { keys, group } = await findLost(log, sink, { group: 'copy' })
    const differences = keys.map(({ key, log: held }) => ({
      key,
      verdict: 'foreign' as const,
      log: held,
      sink: undefined,
    }))
    const report = await repair(log, sink, { group, differences, deep: false }, { foreign: 'adopt' })
    expect(report).toMatchObject({ mended: 3, failed: 0 })
    await drained(log, 'other')
    expect(contents(other)).toEqual({ kept: 1, changed: 2, made: 2 })
    expect((await log.get(notes, 'changed'))?.version).toMatch(/^2@/)
    expect((await findLost(log, sink, { group: 'copy' })).keys).toEqual([])
    await Promise.all([worker.stop(), others.stop()])
  })
})
