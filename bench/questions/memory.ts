import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { emptyRedis } from '../src/empty-redis.ts'
import { measureSending, openConsumer } from '../src/measure-system.ts'
import { makeProduct, productKeys, products, productVersions, type Product } from '../src/product.ts'
import { scaled, type Bench, type Question } from '../src/question.ts'
import type { RedisAddress } from '../src/raw-client.ts'
import { ScriptLog } from '../src/script-log.ts'
import { startServers, type Addresses } from '../src/servers.ts'
import { system as headwater } from '../systems/headwater.ts'

const bytes = 100
const stateBytesMax = 100
const sampleMs = 100
const residentBytesMax = 150 * 2 ** 20

export const memory: Question = {
  name: 'memory',
  asks: 'How much memory do the log, the state beside it and a worker with a long backlog take?',
  async answer(bench) {
    await using servers = await startServers(headwater.needs)
    const { addresses } = servers
    const log = await logBytesPerPayloadByte(addresses, scaled(200_000, bench))
    bench.progress.say(`log ${log.toFixed(2)} bytes a byte of payload`)
    const state = await stateBytesPerKey(addresses.redis, scaled(200_000, bench))
    bench.progress.say(`state ${state.toFixed(0)} bytes a key`)
    const resident = await residentWithBacklog(bench, addresses, scaled(10_000_000, bench))
    bench.progress.say(`worker ${(resident / 2 ** 20).toFixed(0)} MiB resident`)
    return {
      ratios: [
        { name: 'memory/log/payload', bar: { atMost: 1.25 }, values: [log] },
        { name: 'memory/state-of-a-key/100-bytes', bar: { atMost: 1 }, values: [state / stateBytesMax] },
        { name: 'memory/worker/150-megabytes', bar: { atMost: 1 }, values: [resident / residentBytesMax] },
      ],
      contenders: [
        'log: what Redis allocates for copies of all streams, after append() change by change with 1,000 in flight, against JSON of 100 bytes; measured once',
        'state of a key: version, stamp and hash without value, by `MEMORY USAGE` of all hashes of heads without the 8 bytes of the key itself; measured once',
        'worker: the most that the process had resident while it worked off 10 million changes that were there, into a second Redis, with V8 set as `headwater run` sets it; measured once',
      ],
      versions: servers.versions,
    }
  },
}

async function logBytesPerPayloadByte(addresses: Addresses, messages: number): Promise<number> {
  await measureSending(headwater, addresses, { messages, bytes })
  const client = new Redis({ ...addresses.redis })
  const logs = await client.keys('headwater:*:log')
  let used = 0
  let payload = 0
  for (const log of logs) {
    used += await allocatedFor(client, log)
    for (const [, fields] of await client.xrange(log, '-', '+'))
      payload += Buffer.byteLength(fields[fields.indexOf('payloads') + 1]!.replaceAll('\n', ''))
  }
  client.disconnect()
  return used / payload
}

async function stateBytesPerKey(redis: RedisAddress, keys: number): Promise<number> {
  await emptyRedis(redis)
  await using written = await ScriptLog.create(redis, productVersions)
  await written.fill(productsOf(keys, keys))
  const { metadata, keys: names } = logParts(written.log)
  const client = new Redis({ ...redis })
  let used = 0
  for (const { heads } of names.partitions) {
    for (let bucket = 0; bucket < metadata.buckets; bucket++)
      used += await memoryUsage(client, heads(productVersions.name, bucket))
  }
  client.disconnect()
  return used / keys - Buffer.byteLength(makeProduct(0, bytes).id)
}

/**
 * What Redis allocates for a copy of a stream. `MEMORY USAGE` does not know: for each node of a stream's tree it adds room for
 * thirty children, where there is one.
 */
async function allocatedFor(client: Redis, stream: string): Promise<number> {
  const used = async () => Number(/^used_memory:(\d+)/m.exec(await client.info('memory'))?.[1])
  const copy = `${stream}:copy`
  const before = await used()
  await client.copy(stream, copy)
  const after = await used()
  await client.del(copy)
  return after - before
}

async function memoryUsage(client: Redis, key: string): Promise<number> {
  return Number(await client.call('MEMORY', 'USAGE', key, 'SAMPLES', 0))
}

async function residentWithBacklog(bench: Bench, addresses: Addresses, changes: number): Promise<number> {
  await headwater.reset(addresses)
  {
    await using written = await ScriptLog.create(addresses.redis, products)
    await written.fill(productsOf(changes - 1, productKeys))
  }
  bench.progress.say(`working off ${changes.toLocaleString('en')} changes`)
  await using consumer = await openConsumer(headwater, addresses, false)
  await consumer.call('keepHeapSmall')
  await consumer.call('start')
  const done = consumer.call('caughtUp', changes).then(() => 'done' as const)
  let most = 0
  do most = Math.max(most, await consumer.call('resident'))
  while ((await Promise.race([done, delay(sampleMs)])) !== 'done')
  await consumer.call('close')
  return most
}

function* productsOf(count: number, keys: number): Generator<Product> {
  for (let index = 0; index < count; index++) yield makeProduct(index % keys, bytes)
}
