import { randomUUID } from 'node:crypto'
import { connect, HeadwaterError, reject, startWorker, type Sink } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { EventTarget, PliableEventSink } from '../conformance/pliable-event-sink.ts'
import { counters } from '../decider/counter.ts'
import { intercepted } from '../support/intercepted-sink.ts'
import { drained } from '../worker/test-log.ts'

const group = 'audit'
let server: OwnRedisServer

beforeAll(async () => {
  server = await startRedis({ own: true })
})
afterAll(() => server.stop())

it('events of a decider go to a strict sink one by one and in order when they are fed back', async () => {
  const options = { namespace: randomUUID(), collections: [counters], partitions: 1 }
  await using log = await connect(server.options, options)
  const target = new EventTarget()
  const strict = new PliableEventSink(counters, target)
  let closed = true
  const whole: Sink = {
    name: strict.name,
    collection: strict.collection,
    capabilities: strict.capabilities,
    takes: 'events',
    open: (opening) => strict.open(opening),
    close: () => strict.close(),
  }
  const sink = intercepted(whole, async (changes, pass) =>
    closed
      ? changes.map(() => reject(new HeadwaterError('SINK_REJECTED', 'Closed today.')))
      : await pass(changes),
  )
  await using worker = await startWorker(log, { groups: { [group]: sink } })
  expect(worker.name).toBeTruthy()
  for (const n of [1, 2, 3]) await log.decide(counters, 'a', { do: 'add', n, times: 2 })
  await drained(log, group)
  expect(await log.parking(group).list()).toMatchObject([{ key: 'a', changes: 6 }])

  closed = false
  expect(await log.parking(group).retry({ collection: 'counters', key: 'a' })).toMatchObject({ redriven: 1 })
  await log.decide(counters, 'a', { do: 'add', n: 4 })
  await drained(log, group)
  expect(target.taken.map(({ version }) => version)).toEqual(['1', '2', '3', '4', '5', '6', '7'])

  // Without the one that was given up it lacks something, and says so instead of taking half a story.
  closed = true
  await log.decide(counters, 'a', { do: 'add', n: 5, times: 2 })
  await drained(log, group)
  closed = false
  await log.parking(group).skip({ collection: 'counters', key: 'a' })
  expect(await log.parking(group).retry({ collection: 'counters', key: 'a' })).toMatchObject({
    refused: [{ key: 'a', reason: 'SINK_GAP', changes: 1 }],
  })
})
