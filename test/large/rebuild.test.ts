import { connect, defineCollection, rebuild, startWorker, verify, type Log } from '@headwater/core'
import { startPostgres, startRedis } from '@headwater/local-servers'
import { postgresSink } from '@headwater/postgres'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { Pool } from 'pg'
import { expect, it } from 'vitest'
import { z } from 'zod'

/** `LARGE_KEYS` tries it with fewer. */
const keys = Number(process.env['LARGE_KEYS'] ?? 1_000_000)
const products = defineCollection('products', {
  schema: z.object({ sku: z.string(), name: z.string(), price: z.int() }),
  key: ({ sku }) => sku,
})
const product = (at: number, price: number) => ({ sku: `sku-${at}`, name: `Product ${at}`, price })

it(`${keys} keys are rebuilt under traffic in Redis and in Postgres, and both new versions equal the log`, async () => {
  await using logServer = await startRedis({ own: true })
  await using replica = await startRedis({ own: true })
  const postgres = await startPostgres()
  const pool = new Pool({ ...postgres.connection, max: 24 })
  const client = new Redis(replica.options)
  await using log = await connect(logServer.url, { namespace: 'shop', collections: [products] })
  for (let from = 0; from < keys; from += 5_000) {
    await Promise.all(
      Array.from({ length: 5_000 }, (_, at) => log.append(products.put(product(from + at, 1)))),
    )
  }
  const cache = redisSink({
    client,
    collection: products,
    key: 'product:{version}:{key}',
    versions: { pointer: 'product:version' },
  })
  const { schema } = postgres
  const reporting = postgresSink({ pool, collection: products, schema, table: 'rebuilt', keyColumn: 'sku' })
  try {
    await using _ = await startWorker(log, {
      groups: { cache: { sink: cache, start: 'state' }, reporting: { sink: reporting, start: 'state' } },
    })
    await applied(log, ['cache', 'reporting'])
    const traffic = new Traffic(log)
    const lines: string[] = []
    try {
      for (const [group, sink] of [
        ['cache', cache],
        ['reporting', reporting],
      ] as const) {
        const began = performance.now()
        const writtenBefore = traffic.written
        expect(await rebuild(log, sink, { group })).toMatchObject({ version: 2, switched: true })
        const seconds = (performance.now() - began) / 1_000
        lines.push(
          `${group}: ${keys} keys in ${seconds.toFixed(0)} s, beside ${traffic.written - writtenBefore} changes`,
        )
      }
    } finally {
      await traffic.stop()
    }
    await applied(log, ['cache', 'reporting'])
    for (const [group, sink] of [
      ['cache', cache],
      ['reporting', reporting],
    ] as const) {
      const report = await verify(log, sink, { group, timeoutMs: 60_000 })
      expect(report).toMatchObject({ result: 'equal', parked: 0 })
      expect(report.checked).toBeGreaterThan(keys - 1_000)
    }
    lines.push(`at most ${Math.round(process.resourceUsage().maxRSS / 1_024)} MB resident`)
    process.stdout.write(`${lines.join('\n')}\n`)
  } finally {
    await pool.query(
      `DROP TABLE IF EXISTS "${schema}".rebuilt, "${schema}".rebuilt_v1, "${schema}".rebuilt_v2`,
    )
    await pool.end()
    client.disconnect()
    await postgres.stop()
  }
})

async function applied(log: Log, groups: readonly string[]): Promise<void> {
  for (let partition = 0; partition < log.partitions; partition++) {
    const end = await log.end(partition)
    for (const group of groups) await log.whenApplied(end, { group, timeoutMs: 1_200_000 })
  }
}

/** Writes all over the keys, and deletes some, as long as it is let. */
class Traffic {
  readonly #ended = new AbortController()
  readonly #running: Promise<void>
  written = 0

  constructor(log: Log) {
    this.#running = this.#run(log)
  }

  async stop(): Promise<void> {
    this.#ended.abort()
    await this.#running
  }

  async #run(log: Log): Promise<void> {
    for (let round = 2; !this.#ended.signal.aborted; round++) {
      const changes = Array.from({ length: 100 }, (_, at) => {
        const key = (round * 7_919 + at * 10_007) % keys
        return key < 1_000 ? products.delete(`sku-${key}`) : products.put(product(key, round))
      })
      await Promise.all(changes.map((change) => log.append(change)))
      this.written += changes.length
    }
  }
}
