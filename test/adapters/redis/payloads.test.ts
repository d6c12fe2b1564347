import { HeadwaterError, type Change } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { apply, replica, words } from './replica.ts'

let server: OwnRedisServer
let client: Redis

beforeAll(async () => {
  server = await startRedis({ own: true })
  client = new Redis(server.options)
})

afterAll(async () => {
  client.disconnect()
  await server.stop()
})

/** As one that a stranger has put into the log: whoever looks at its value is told that it has none. */
function unreadable(change: Change): Change {
  return Object.defineProperty(change, 'value', {
    get() {
      throw new HeadwaterError('CHANGE_UNREADABLE', 'The change holds no JSON.')
    },
  })
}

it('a payload that is stored as a string is forwarded, and never parsed', async () => {
  const { log, open, dataKey } = replica(client)
  const change = unreadable(log.put({ id: 'lamp', content: 1 }))
  expect(words(await apply(await open(), [change]))).toEqual(['applied'])
  expect(await client.get(dataKey('lamp'))).toBe('{"content":1,"id":"lamp"}')
})

it('a payload that cannot be read is told by a sink that stores its properties', async () => {
  const { log, open } = replica(client, { value: 'hash' })
  const change = unreadable(log.put({ id: 'lamp', content: 1 }))
  await expect(apply(await open(), [change])).rejects.toMatchObject({ code: 'CHANGE_UNREADABLE' })
})
