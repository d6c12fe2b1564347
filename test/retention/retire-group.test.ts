import {
  HeadwaterError,
  retireGroup,
  setRetention,
  startWorker,
  trim,
  type Log,
  type Worker,
} from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { appendEach, drained, openTestLog, statusOf } from '../worker/test-log.ts'
import { watchedSink, type WatchedSink } from '../worker/watched-sink.ts'

const group = 'copy'
let server: OwnRedisServer
let client: Redis
let log: Log
let sink: WatchedSink
let worker: Worker | undefined

beforeAll(async () => {
  server = await startRedis({ own: true })
  client = new Redis(server.options)
})
beforeEach(async () => {
  log = await openTestLog(server.options, { partitions: 2 })
  sink = watchedSink()
})
afterEach(async () => {
  await client.config('SET', 'maxmemory', '0')
  await worker?.stop()
  worker = undefined
  await log.close()
})
afterAll(async () => {
  client.disconnect()
  await server.stop()
})

const keysOfGroup = async () => (await client.keys(`headwater:{${log.namespace}*${group}`)).toSorted()
async function work(): Promise<void> {
  worker = await startWorker(log, { groups: { [group]: sink } })
  await drained(log, group)
}

describe('a group that is retired', () => {
  it('is gone with its progress, its leases and what was parked, and holds nothing back', async () => {
    sink.answer = () => {
      throw new HeadwaterError('SINK_REJECTED', 'It cannot hold this.')
    }
    await appendEach(log, [1, 2, 3])
    await work()
    await worker!.stop()
    await appendEach(log, [4, 5])
    await setRetention(log, { retentionMs: 0 })
    const left = async () => (await trim(log)).map(({ heldBy }) => heldBy)
    expect(await left()).toContainEqual({ kind: 'group', name: group })
    await retireGroup(log, group)
    expect(await log.groups()).toEqual([])
    expect(await keysOfGroup()).toEqual([])
    for (const partition of [0, 1]) {
      const stream = `headwater:{${log.namespace}:${partition}}:log`
      expect(await client.xinfo('GROUPS', stream)).toEqual([])
    }
    expect(await left()).toEqual([undefined, undefined])
    expect(await client.xlen(`headwater:{${log.namespace}:0}:log`)).toBe(0)
  })

  it('must have no live workers, unless it is forced', async () => {
    await appendEach(log, [1, 2])
    await work()
    await expect(retireGroup(log, group)).rejects.toMatchObject({
      code: 'GROUP_ALIVE',
      message: expect.stringContaining(worker!.name) as string,
    })
    expect(await statusOf(log, group)).toMatchObject({ owner: worker!.name })
    await retireGroup(log, group, { force: true })
    expect(await log.groups()).toEqual([])
  })

  it('must have no leases that still run, though no life sign is left', async () => {
    await appendEach(log, [1, 2])
    await work()
    await client.del(`headwater:{${log.namespace}}:members:${group}`)
    await expect(retireGroup(log, group)).rejects.toMatchObject({ code: 'GROUP_ALIVE' })
  })

  it('can be retired again when that was cut short', async () => {
    await work()
    await worker!.stop()
    // As if it had been killed after the last partition.
    await client.hdel(`headwater:{${log.namespace}:1}:groups`, group)
    await client.del(`headwater:{${log.namespace}:1}:group:${group}`)
    await retireGroup(log, group)
    expect(await keysOfGroup()).toEqual([])
    await expect(retireGroup(log, group)).rejects.toMatchObject({ code: 'GROUP_UNKNOWN' })
  })

  it('is retired on a full server', async () => {
    await work()
    await worker!.stop()
    await client.config('SET', 'maxmemory', '1')
    await retireGroup(log, group)
    expect(await log.groups()).toEqual([])
  })
})
