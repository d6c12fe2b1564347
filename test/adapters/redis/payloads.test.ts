import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import { startWorker } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import { expect, it } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { client, server, startOwnRedis } from '../../support/own-redis.ts'
import { drained, openTestLog, partitionKeys } from '../../worker/test-log.ts'

const group = 'replica'

startOwnRedis()

it.each(['json', 'hash'] as const)(
  'a payload that is no JSON is parked and never stored, and its neighbours are: %s',
  async (value) => {
    const log = await openTestLog(server.options)
    const name = randomUUID()
    const sink = redisSink({ client, collection: notes, key: `${name}:{key}`, prefix: `sink:${name}`, value })
    await log.append(notes.put({ id: 'lamp', content: 1 }))
    // As somebody else might write it: a batch of two, the first of which nobody can decode.
    const { header, log: stream } = partitionKeys(log, group)
    const batch = {
      first: 2,
      time: 1,
      types: 'notes@1',
      operations: 'pp',
      versions: '1 1',
      keys: 'desk\nchair',
    }
    const payloads = '{"id":"desk"\n{"content":1,"id":"chair"}'
    await client.call('XADD', stream, '1-3', ...Object.entries({ ...batch, payloads }).flat())
    await client.hset(header, 'sequence', '3')

    const worker = await startWorker(log, { groups: { [group]: sink } })
    await eventually(async () =>
      expect(await log.parking(group).list()).toMatchObject([{ key: 'desk', reason: 'CHANGE_UNREADABLE' }]),
    )
    await drained(log, group)
    await worker.stop()
    expect(await client.exists(`${name}:lamp`, `${name}:chair`)).toBe(2)
    expect(await client.exists(`${name}:desk`)).toBe(0)
    await log.close()
  },
)
