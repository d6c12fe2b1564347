import { fileURLToPath } from 'node:url'
import { connect, startWorker } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import { headwater, lastLine } from './headwater.ts'
import { product, products, visits } from './shop.ts'

const config = fileURLToPath(new URL('./shop.config.ts', import.meta.url))

it('headwater lost names what a restored copy has lost, and adopts it from the sink', async () => {
  await using server = await startRedis({ own: true })
  await using replica = await startRedis({ own: true })
  const client = new Redis(replica.options)
  await using log = await connect(server.options, { namespace: 'shop', collections: [products, visits] })
  const cache = redisSink({ client, collection: products, key: 'product:{key}' })
  const worker = await startWorker(log, { groups: { cache } })
  const admin = new Redis(server.options)
  await admin.save()
  admin.disconnect()
  const { position } = await log.append(products.put(product('lamp')))
  await log.whenApplied(position, { group: 'cache' })
  await worker.stop()
  await server.kill('SIGKILL')
  await server.restart()

  const call = (...args: readonly string[]) =>
    headwater(['lost', ...args, '--config', config, '--json', '--redis', server.url, '--namespace', 'shop'], {
      env: { REPLICA_URL: replica.url },
    })
  const listed = await call('list')
  expect(lastLine(listed)).toMatchObject({ groups: [{ group: 'cache', keys: [{ key: 'lamp', position }] }] })
  expect(listed.ending).toBe(1)
  expect(lastLine(await call('adopt', '--dry-run'))).toMatchObject({ groups: [{ repaired: { mended: 1 } }] })
  expect(await log.get(products, 'lamp')).toBeUndefined()
  const adopted = await call('adopt', 'cache')
  expect(lastLine(adopted)).toMatchObject({ groups: [{ repaired: { mended: 1, failed: 0 } }] })
  expect(adopted.ending).toBe(0)
  expect(await log.get(products, 'lamp')).toMatchObject({ value: product('lamp') })
  expect((await call('list')).ending).toBe(0)
  client.disconnect()
}, 120_000)
