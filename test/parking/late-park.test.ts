import { randomUUID } from 'node:crypto'
import type { Change } from '@headwater/core'
import type { Command } from 'ioredis'
import { beforeEach, expect, it } from 'vitest'
import { HeadwaterError } from '../../packages/core/src/errors/headwater-error.ts'
import type { LeaseRequest } from '../../packages/core/src/group/lease.ts'
import { namespaceKeys, type PartitionKeys } from '../../packages/core/src/namespace/keys.ts'
import { drop } from '../../packages/core/src/parking/drop.ts'
import { feedBack } from '../../packages/core/src/parking/feed-back.ts'
import { park, type ParkAnswer } from '../../packages/core/src/parking/park.ts'
import { parkedField } from '../../packages/core/src/parking/parked-key.ts'
import type { RedisClient } from '../../packages/core/src/redis/connection.ts'
import { client, openSharedRedis } from '../support/shared-redis.ts'

// Redis or the network may hold a command back until long after its sender has tried again.

const [group, owner, token] = ['copy', 'worker', 7]
const changeOf = (key: string): Change =>
  ({
    collection: 'notes',
    key,
    kind: 'put',
    version: '1',
    stamp: { epoch: 1, sequence: 3 },
    schemaVersion: 1,
    time: 1,
    payload: '{}',
    metadata: {},
  }) as unknown as Change
let keys: PartitionKeys
let lease: LeaseRequest

openSharedRedis()

beforeEach(async () => {
  keys = namespaceKeys(randomUUID(), 1).partitions[0]!
  lease = { keys, group, owner, leaseMs: 1_000 }
  await client.hset(keys.group(group), { owner, token })
  await client.hset(keys.parkedKeys(group), '', '')
})

const parkOver = (connection: RedisClient, key = 'lamp'): Promise<ParkAnswer> =>
  park(connection, lease, token, {
    changes: [changeOf(key)],
    error: new HeadwaterError('SINK_REJECTED', 'No room.'),
    behind: false,
    bounds: { keys: 10, changesOfKey: 10 },
  })

/** The sink has taken what was parked of a key. */
async function free(key = 'lamp'): Promise<void> {
  const [entry] = await client.xrange(keys.parked(group), '-', '+')
  const id = entry![0]
  const copies = [{ id, change: changeOf(key), code: 'SINK_REJECTED', reason: '' }]
  const leaving = { field: parkedField('notes', key), copies, next: undefined }
  expect(await feedBack(client, lease, token, leaving)).toBe('freed')
}

/** An attempt to park that is sent, and stays on its way until it is let through. */
function heldUp(): () => Promise<unknown> {
  let sent: Command | undefined
  const slow = { sendCommand: (command: Command) => (sent = command) }
  void parkOver(slow as unknown as RedisClient)
  return () => client.call(sent!.name, ...(sent!.args as string[]))
}

const parkedFields = async (): Promise<string[]> =>
  (await client.hkeys(keys.parkedKeys(group))).filter((name) => name !== '')

it('an attempt to park that arrives when the key was fed back does not park it again', async () => {
  const letThrough = heldUp()
  expect(await parkOver(client)).toEqual({ kind: 'parked', aside: 1, added: 1 })
  await free()
  expect(await letThrough()).toEqual(['late'])
  expect(await parkedFields()).toEqual([])
  expect(await client.xlen(keys.parked(group))).toBe(0)
})

it('nor when the key was given up', async () => {
  const letThrough = heldUp()
  await parkOver(client)
  const [entry] = await client.xrange(keys.parked(group), '-', '+')
  const id = entry![0]
  const { stamp } = changeOf('lamp')
  const given = {
    field: parkedField('notes', 'lamp'),
    ids: [id],
    first: stamp,
    last: stamp,
    left: { stamp, id },
  }
  expect(await drop(client, keys, group, given)).toEqual({ dropped: 1, left: 0 })
  expect(await letThrough()).toEqual(['late'])
  expect(await parkedFields()).toEqual([])
})

it('an attempt that is overtaken by the whole way of another key is made again, and parks', async () => {
  let overtaken = false
  const slow = {
    sendCommand(command: Command) {
      if (overtaken) {
        void client.sendCommand(command)
        return
      }
      overtaken = true
      void parkOver(client, 'shade')
        .then(() => free('shade'))
        .then(() => client.sendCommand(command))
    },
  }
  expect(await parkOver(slow as unknown as RedisClient)).toEqual({ kind: 'parked', aside: 1, added: 1 })
  expect(await parkedFields()).toEqual([parkedField('notes', 'lamp')])
})

it('a later lease does not take the numbers of an earlier one for its own', async () => {
  await parkOver(client)
  await free()
  await client.hset(keys.group(group), 'token', token + 1, 'parks-over', `${token} 1000000`)
  const answer = await park(client, lease, token + 1, {
    changes: [changeOf('lamp')],
    error: new HeadwaterError('SINK_REJECTED', 'No room.'),
    behind: false,
    bounds: { keys: 10, changesOfKey: 10 },
  })
  expect(answer).toEqual({ kind: 'parked', aside: 1, added: 1 })
})
