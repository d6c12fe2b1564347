import { readFileSync } from 'node:fs'
import { canonicalJson, connect, type Collection } from '@headwater/core'
import { Redis } from 'ioredis'
import { AppendCommands } from '../src/append-commands.ts'
import { emptyRedis } from '../src/empty-redis.ts'
import { makeProduct, type Product, productKeys, products, productVersions } from '../src/product.ts'
import { scaled, type Bench, type Question, type Ratio } from '../src/question.ts'
import { encodeCommand, joinCommands, RawClient, type RedisAddress } from '../src/raw-client.ts'
import { randomNumbers } from '../src/random.ts'
import { alternate, divide } from '../src/rounds.ts'
import { startServers } from '../src/servers.ts'

const batch = 100
const togetherPerWrite = 500
const sizes = [
  { name: '100B', bytes: 100, changes: 100_000 },
  { name: '1KiB', bytes: 1_024, changes: 40_000 },
]
const naiveSource = readFileSync(new URL('../src/naive-append.lua', import.meta.url), 'utf8')

/** Encoded before the clock runs: first every key once, then the changes that are measured. */
interface Load {
  readonly everyKey: readonly string[]
  readonly measured: readonly string[]
}

/** Lays changes out as commands; the server is empty. */
type Encoder = (
  redis: RedisAddress,
  everyKey: readonly Product[],
  changes: readonly Product[],
) => Promise<Load>

const encoders = {
  'raw-xadd': async (_redis, everyKey, changes) => ({
    everyKey: everyKey.map(rawXadd),
    measured: changes.map(rawXadd),
  }),
  versions: (...load) => scriptLoad(productVersions, ...load),
  values: (...load) => scriptLoad(products, ...load),
  'naive-versions': (...load) => naiveLoad('versions', ...load),
  'naive-values': (...load) => naiveLoad('values', ...load),
} satisfies Record<string, Encoder>

export const appendScript: Question = {
  name: 'append-script',
  asks: 'What does an append cost the server, against the barest one?',
  async answer(bench) {
    await using servers = await startServers(['redis'])
    const ratios: Ratio[] = []
    for (const size of sizes) ratios.push(...(await compare(bench, servers.addresses.redis, size)))
    return { ratios, contenders, versions: servers.versions }
  },
}

const contenders = [
  `\`values\`, \`versions\`: the append script, ${batch} changes a batch, each a request of its own, into one partition; the collection keeps values beside the log, or only versions, stamps and hashes`,
  '`raw-xadd`: one `XADD` with one field, the same JSON, for each change',
  `\`naive-values\`, \`naive-versions\`: a first version of the script, \`src/naive-append.lua\`, ${batch} changes a batch`,
  `each of them encoded beforehand and written to one socket, ${togetherPerWrite} changes a write, 4 writes under way; ${productKeys} keys, all of which exist`,
]

async function compare(
  bench: Bench,
  redis: RedisAddress,
  size: (typeof sizes)[number],
): Promise<readonly Ratio[]> {
  const keys = scaled(productKeys, bench)
  const random = randomNumbers(1)
  const everyKey = Array.from({ length: keys }, (_, key) => makeProduct(key, size.bytes))
  const changes = Array.from({ length: scaled(size.changes, bench) }, () =>
    makeProduct(random(keys), size.bytes),
  )
  const measure = (encode: Encoder) => async () => {
    await emptyRedis(redis)
    return await send(redis, await encode(redis, everyKey, changes), changes.length)
  }
  const results = await alternate(
    bench.rounds,
    {
      'raw-xadd': measure(encoders['raw-xadd']),
      versions: measure(encoders.versions),
      values: measure(encoders.values),
      'naive-versions': measure(encoders['naive-versions']),
      'naive-values': measure(encoders['naive-values']),
    },
    bench.progress.measured,
  )
  const ratio = (what: keyof typeof encoders, against: keyof typeof encoders, atLeast: number): Ratio => ({
    name: `append-script/${what}-${size.name}/${against}`,
    bar: { atLeast },
    values: divide(results[what], results[against]),
  })
  const small = size.bytes === 100
  return [
    ratio('versions', 'raw-xadd', small ? 0.45 : 0.5),
    ratio('values', 'raw-xadd', small ? 0.33 : 0.5),
    ratio('versions', 'naive-versions', 4),
    ratio('values', 'naive-values', 4),
  ]
}

function rawXadd(product: Product): string {
  return encodeCommand(['XADD', 'log', '*', 'change', canonicalJson(product)])
}

async function scriptLoad(
  collection: Collection<Product>,
  redis: RedisAddress,
  everyKey: readonly Product[],
  changes: readonly Product[],
): Promise<Load> {
  await using log = await connect(redis, { namespace: 'bench', collections: [collection], partitions: 1 })
  // The server learns the script.
  await log.append(collection.put(makeProduct(0, 100)))
  const commands = new AppendCommands(log, collection, batch)
  return { everyKey: [...commands.encode(everyKey)], measured: [...commands.encode(changes)] }
}

async function naiveLoad(
  state: 'values' | 'versions',
  redis: RedisAddress,
  everyKey: readonly Product[],
  changes: readonly Product[],
): Promise<Load> {
  const client = new Redis(redis)
  const sha = (await client.script('LOAD', naiveSource)) as string
  client.disconnect()
  const keys = ['log', 'versions', 'stamps', 'hashes', 'values', 'digest']
  const encode = (some: readonly Product[]): string[] => {
    const commands: string[] = []
    for (let at = 0; at < some.length; at += batch) {
      const json = some
        .slice(at, at + batch)
        .map((product, index) => ({ key: product.id, payload: canonicalJson(product), bucket: index % 16 }))
      commands.push(encodeCommand(['EVALSHA', sha, keys.length, ...keys, JSON.stringify(json), state]))
    }
    return commands
  }
  return { everyKey: encode(everyKey), measured: encode(changes) }
}

/** Changes per second. */
async function send(redis: RedisAddress, { everyKey, measured }: Load, changes: number): Promise<number> {
  const perWrite = Math.max(1, Math.round((measured.length / changes) * togetherPerWrite))
  const writes = [...joinCommands(measured, perWrite)]
  const client = await RawClient.connect(redis)
  await client.sendAll(joinCommands(everyKey, perWrite))
  const startedAt = performance.now()
  await client.sendAll(writes)
  const seconds = (performance.now() - startedAt) / 1_000
  client.close()
  return changes / seconds
}
