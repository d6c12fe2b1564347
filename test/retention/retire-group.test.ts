import { HeadwaterError, retireGroup, setRetention, startWorker, trim, type Worker } from '@headwater/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { client, log, openOwnLog } from '../worker/own-log.ts'
import { appendEach, drained, statusOf } from '../worker/test-log.ts'
import { watchedSink, type WatchedSink } from '../worker/watched-sink.ts'

const group = 'copy'
let sink: WatchedSink
let worker: Worker | undefined

openOwnLog({ partitions: 2 })

beforeEach(() => {
  sink = watchedSink()
})
afterEach(async () => {
  await client.config('SET', 'maxmemory', '0')
  await worker?.stop()
  worker = undefined
})

const keysOfGroup = async () => (await client.keys(`headwater:{${log.namespace}*${group}`)).toSorted()
const heldBy = async () => (await trim(log)).map((partition) => partition.heldBy)
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
    expect(await heldBy()).toContainEqual({ kind: 'group', name: group })
    await retireGroup(log, group)
    expect(await log.groups()).toEqual([])
    expect(await keysOfGroup()).toEqual([])
    for (const partition of [0, 1]) {
      const stream = `headwater:{${log.namespace}:${partition}}:log`
      expect(await client.xinfo('GROUPS', stream)).toEqual([])
    }
    expect(await heldBy()).toEqual([undefined, undefined])
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
