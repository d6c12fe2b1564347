import { notes } from '@headwater/conformance'
import { connect, memorySink } from '@headwater/core'
import { startCluster, startProxy } from '@headwater/local-servers'
import { startUpkeep, type UpkeepOptions } from '@headwater/upkeep'
import { Cluster, Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { listClients, openTestLog } from '../worker/test-log.ts'

const everyMs = 3_600_000

startOwnRedis()

describe('upkeep', () => {
  const refused: [why: string, options: object, says: RegExp][] = [
    ['no tasks', { tasks: {} }, /tasks: name at least one task/],
    ['an unknown task', { tasks: { sweep: { everyMs } } }, /tasks: Unrecognized key: "sweep"/],
    ['no time', { tasks: { trim: {} } }, /tasks\.trim: needs either everyMs, or cron/],
    ['two times', { tasks: { trim: { everyMs, cron: '0 3 * * *' } } }, /tasks\.trim: needs either/],
    [
      'a time zone without cron',
      { tasks: { trim: { everyMs, timeZone: 'UTC' } } },
      /tasks\.trim: needs either/,
    ],
    ['too often', { tasks: { trim: { everyMs: 10 } } }, /tasks\.trim\.everyMs/],
    ['cron that cannot be read', { tasks: { trim: { cron: 'at three' } } }, /tasks\.trim: cron or timeZone/],
    [
      'a time zone that is none',
      { tasks: { trim: { cron: '0 3 * * *', timeZone: 'Mars/Base' } } },
      /tasks\.trim: cron or timeZone/,
    ],
    ['a setting of another task', { tasks: { trim: { everyMs, deep: true } } }, /Unrecognized key: "deep"/],
    [
      'an archive without a place',
      { tasks: { archive: { everyMs } } },
      /tasks\.archive: needs the option `archive`/,
    ],
    ['verifying nothing', { tasks: { verify: { everyMs } } }, /tasks\.verify: needs `groups`/],
    ['a client that is none', { client: {} }, /client: must be an ioredis client/],
    ['an unknown option', { task: {} }, /options: Unrecognized key: "task"/],
  ]

  it.each(refused)('refuses %s before anything is scheduled', async (_, options, says) => {
    await using log = await openTestLog(server.options)
    const given = { client, tasks: { trim: { everyMs } }, ...options } as UpkeepOptions
    await expect(startUpkeep(log, given)).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringMatching(says) as unknown,
    })
    expect(await client.keys(`*${log.namespace}-*`)).toEqual([])
  })

  it('says so where its Redis does not answer', async () => {
    await using log = await openTestLog(server.options)
    const link = await startProxy(server.options)
    link.blackhole()
    const away = new Redis({ ...server.options, ...link.address, lazyConnect: true })
    await expect(
      startUpkeep(log, { client: away, tasks: { trim: { everyMs } }, timeoutMs: 200 }),
    ).rejects.toMatchObject({
      code: 'REDIS_UNAVAILABLE',
    })
    expect(away.status).toBe('wait')
    await link.stop()
  })

  it('stops within its time while its Redis does not answer, and leaves no connection and no rejection behind', async () => {
    await using log = await openTestLog(server.options)
    const link = await startProxy(server.options)
    const own = new Redis({ ...server.options, ...link.address })
    own.on('error', () => {})
    const upkeep = await startUpkeep(log, {
      client: own,
      tasks: { trim: { everyMs }, purge: { everyMs } },
      timeoutMs: 300,
    })
    link.blackhole()
    const began = performance.now()
    await Promise.all([upkeep.stop(), upkeep.stop()])
    expect(performance.now() - began).toBeLessThan(3_000)
    expect(own.status).toBe('ready')
    own.disconnect()
    await link.stop()
    await eventually(async () => {
      const left = (await listClients(client)).filter(({ name }) => name.includes('upkeep'))
      expect(left).toEqual([])
    })
  })

  it('works with a client of any reply mapping, and closes what it opened and nothing else', async () => {
    await using log = await openTestLog(server.options)
    const odd = new Redis({
      ...server.options,
      stringNumbers: true,
      maxRetriesPerRequest: 3,
      keyPrefix: 'app:',
    })
    const upkeep = await startUpkeep(log, { client: odd, tasks: { trim: { everyMs } } })
    await eventually(async () => expect(await upkeep.queues[0]!.getCompletedCount()).toBe(1))
    await upkeep.stop()
    expect(await odd.ping()).toBe('PONG')
    odd.disconnect()
    await eventually(async () => {
      const left = (await listClients(client)).filter(({ name }) => name.includes('upkeep'))
      expect(left).toEqual([])
    })
  })

  it('keeps each queue in one slot of a Cluster', async () => {
    await using cluster = await startCluster()
    await using log = await connect(
      { nodes: cluster.addresses },
      { namespace: 'spread', collections: [notes], partitions: 3 },
    )
    const nodes = new Cluster([...cluster.addresses])
    const upkeep = await startUpkeep(log, {
      client: nodes,
      tasks: { trim: { everyMs }, purge: { everyMs } },
      groups: { copy: memorySink({ collection: notes }) },
    })
    for (const queue of upkeep.queues) {
      await eventually(async () => expect(await queue.getCompletedCount()).toBe(1))
    }
    await upkeep.stop()
    nodes.disconnect()
  })
})
