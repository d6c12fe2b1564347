import { notes } from '@headwater/conformance'
import { memorySink, startWorker } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import { drained, openTestLog, partitionKeys } from '../worker/test-log.ts'

const million = 1_000_000
const together = 5_000
const keys = 1_000
const group = 'copy'

it('a million entries that a dead consumer was given and never acknowledged are applied and acknowledged', async () => {
  await using server = await startRedis({ own: true })
  await using log = await openTestLog(server.options)
  const client = new Redis(server.options)
  const sink = memorySink({ collection: notes })
  // So that the group is there, at the beginning.
  await (await startWorker(log, { groups: { [group]: sink } })).stop()
  const { log: stream, header } = partitionKeys(log, group)
  const pending = async () => (await client.xpending(stream, group))[0]
  for (let from = 0; from < million; from += together) {
    const pipeline = client.pipeline()
    for (let sequence = from + 1; sequence <= from + together; sequence++) {
      const id = `note-${sequence % keys}`
      const version = Math.ceil(sequence / keys)
      const payload = JSON.stringify({ content: version, id })
      pipeline.call('XADD', stream, `1-${sequence}`, ...entry(sequence, version, id, payload))
    }
    await pipeline.exec()
    await client.hset(header, 'sequence', from + together)
    await client.xreadgroup('GROUP', group, 'dead', 'COUNT', together, 'STREAMS', stream, '>')
  }
  expect(await pending()).toBe(million)

  const worker = await startWorker(log, { groups: { [group]: sink } })
  await drained(log, group, 600_000)
  await worker.stop()
  expect(await pending()).toBe(0)
  expect(sink.entries().size).toBe(keys)
  expect(new Set([...sink.entries().values()].map(({ content }) => content))).toEqual(
    new Set([million / keys]),
  )
  client.disconnect()
})

function entry(sequence: number, version: number, key: string, payload: string): (string | number)[] {
  const fields = { first: sequence, time: 1, types: 'notes@1', operations: 'p', versions: version, keys: key }
  return [...Object.entries(fields).flat(), 'payloads', payload]
}
