import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { apply, replica, words } from './replica.ts'

let server: OwnRedisServer
let client: Redis

beforeEach(async () => {
  server = await startRedis({ own: true })
  client = new Redis({ ...server.options, retryStrategy: () => 5 })
  // It loses its server in each of these tests.
  client.on('error', () => {})
})

afterEach(async () => {
  client.disconnect()
  await server.stop()
})

const at = (sequence: number) => ({ epoch: 1, sequence, branch: 'a' })

describe('a server that comes back with an older copy of its data', () => {
  it('is noticed by the next call, and catches up from the position that is left', async () => {
    const { sink, log, open } = replica(client)
    const changes = ['a', 'b', 'c'].map((id) => log.put({ id, content: id }))
    const partition = await open()
    await apply(partition, changes.slice(0, 1), at(0))
    await client.save()
    // The position stays where it is, as it does while an older change of another key is tried again.
    await apply(partition, changes.slice(1, 2), at(0))
    await server.kill('SIGKILL')
    await server.restart()

    await eventually(async () => {
      const answer = await apply(partition, changes.slice(2), at(0)).catch((error: unknown) => error)
      expect(answer).toMatchObject({
        code: 'SINK_FENCED',
        message: expect.stringContaining('has lost') as string,
      })
    })
    await expect(partition.advance(at(3))).rejects.toMatchObject({ code: 'SINK_FENCED' })

    const again = await open()
    expect(again.position).toEqual(at(0))
    expect(words(await apply(again, changes, at(0)))).toEqual(['stale', 'applied', 'applied'])
    expect((await sink.read?.(['a', 'b', 'c']))?.map((row) => row?.key)).toEqual(['a', 'b', 'c'])
  })

  it('is noticed when only the position had moved', async () => {
    const { open } = replica(client)
    const partition = await open()
    await client.save()
    await partition.advance(at(5))
    await server.kill('SIGKILL')
    await server.restart()
    await eventually(async () => {
      await expect(partition.advance(at(6))).rejects.toMatchObject({ code: 'SINK_FENCED' })
    })
    expect((await open()).position).toBeUndefined()
  })

  it('is no trouble when nothing was lost', async () => {
    const { log, open } = replica(client)
    const partition = await open()
    await apply(partition, [log.put({ id: 'a', content: 1 })], at(1))
    await client.save()
    await server.kill('SIGKILL')
    await server.restart()
    await eventually(async () => {
      expect(words(await apply(partition, [log.put({ id: 'b', content: 1 })], at(1)))).toEqual(['applied'])
    })
  })
})
