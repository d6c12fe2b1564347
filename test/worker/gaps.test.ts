import { randomUUID } from 'node:crypto'
import {
  connect,
  gap,
  guardSink,
  memorySink,
  startWorker,
  type Sink,
  type WorkerEvent,
} from '@headwater/core'
import { changeBuilder, notes } from '@headwater/conformance'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EventTarget, PliableEventSink } from '../conformance/pliable-event-sink.ts'

let server: RedisServer
beforeAll(async () => (server = await startRedis()))
afterAll(() => server.stop())

describe('a sink of events that lacks what came before', () => {
  it('gets the key parked with what is missing, and goes on with the others', async () => {
    await using log = await connect(server.options, {
      namespace: `${server.namespacePrefix}${randomUUID()}`,
      collections: [notes],
      partitions: 1,
    })
    const target = new EventTarget()
    const audit = new PliableEventSink(notes, target)
    const parked: WorkerEvent[] = []
    await using worker = await startWorker(log, {
      groups: { audit },
      onEvent: (event) => void (event.kind === 'parked' && parked.push(event)),
    })
    expect(worker.name).toBeTruthy()
    const put = async (id: string, content: number) => {
      const { position } = await log.append(notes.put({ id, content }))
      return await log.whenApplied(position, { group: 'audit' })
    }
    expect(await put('a', 1)).toBe('applied')
    expect(await put('b', 1)).toBe('applied')
    // Somebody restored an older copy of what the sink writes to.
    target.held.delete('a')
    target.taken.splice(0, 1)
    expect(await put('a', 2)).toBe('parked')
    expect(await put('a', 3)).toBe('parked')
    expect(await put('b', 2)).toBe('applied')
    expect(parked).toMatchObject([
      {
        key: 'a',
        error: {
          code: 'SINK_GAP',
          message: expect.stringContaining('holds no event of key "a", and was given version 2') as string,
        },
      },
      { key: 'a' },
    ])
    expect(target.taken.map(({ key, version }) => `${key} ${version}`)).toEqual(['b 1', 'b 2'])
  })
})

describe('a sink of states', () => {
  it('breaks its contract by a gap, since the newest state of a key says all', async () => {
    const memory = memorySink({ collection: notes })
    const sink: Sink = {
      ...memory,
      open: async (options) => ({
        ...(await memory.open(options)),
        apply: async (changes) => changes.map((change) => gap(change, undefined)),
      }),
    }
    const guarded = guardSink(sink)
    const fence = { epoch: 1, token: 1, owner: 'me' }
    const partition = await guarded.open({ lineage: 'x', group: 'copy', partition: 0, fence })
    const change = changeBuilder({ collection: notes }).put({ id: 'a', content: 1 })
    const position = { epoch: 0, sequence: 0, branch: '' }
    const { signal } = new AbortController()
    await expect(partition.apply([change], position, { signal })).rejects.toMatchObject({
      code: 'SINK_CONTRACT',
    })
    await guarded.close()
  })
})
