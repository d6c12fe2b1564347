import { notes } from '@headwater/conformance'
import { connect, type AppendResult } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { expect, it } from 'vitest'

const million = 1_000_000
const together = 5_000
const sampleEvery = 997

it('each of a million idempotency keys gives the first result again, and stores nothing', async () => {
  await using server = await startRedis({ own: true })
  await using log = await connect(server.url, { namespace: 'many', collections: [notes] })
  const append = (at: number): Promise<AppendResult> =>
    log.append(notes.put({ id: `note-${at % 1_000}`, content: 1 }), { idempotencyKey: `request-${at}` })
  const first = new Map<number, AppendResult>()
  for (let from = 0; from < million; from += together) {
    const results = await Promise.all(Array.from({ length: together }, (_, at) => append(from + at)))
    for (const [at, result] of results.entries()) {
      expect(result.duplicate).toBe(false)
      if ((from + at) % sampleEvery === 0) first.set(from + at, result)
    }
  }
  const again = await Promise.all([...first.keys()].map(append))
  expect(again).toEqual([...first.values()].map((result) => ({ ...result, duplicate: true })))
  const ends = await Promise.all(Array.from({ length: log.partitions }, (_, partition) => log.end(partition)))
  expect(ends.reduce((sum, end) => sum + Number(end.split('-').at(-1)), 0)).toBe(million)
})
