import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { memorySink, type AnySink, type Collection, type SinkValue } from '@headwater/core'
import { postgresSink } from '@headwater/postgres'
import { redisSink } from '@headwater/redis'
import { Redis, type RedisOptions } from 'ioredis'
import { Pool, type PoolConfig } from 'pg'

/**
 * A copy of a collection that can be damaged behind the sink's back, as a restored backup, a script of an operator or a
 * bug would: by the documented layout of its bookkeeping, and not through the adapter.
 */
export interface Copy {
  readonly name: string
  readonly sink: AnySink
  /** Everything that is stored of a key, to be put back later. */
  save(key: string): Promise<Saved>
  /** Takes a key away with all that is known of it, as if it had never been applied. */
  lose(key: string): Promise<void>
  /** Changes the content hash in the bookkeeping of a key. */
  corrupt(key: string): Promise<void>
  /** Changes the stored value of a key, and nothing else. */
  tamper(key: string): Promise<void>
  /** Adds a key that the log knows nothing of; `like` is one of the copy's own. */
  invent(key: string, like: string): Promise<void>
  /** What is stored of every key, or a fingerprint of it, to compare with later. */
  dump(): Promise<Map<string, string>>
  close(): Promise<void>
}

interface Saved {
  putBack(): Promise<void>
}

/** Collections whose values have the member `count`, a whole number: that is what `tamper` changes. */
type Countable = Collection<{ id: string; count: number; note?: string | undefined }>

export function memoryCopy(collection: Countable): Copy {
  const sink = memorySink({ collection })
  const rows = (sink.target as unknown as { rows: Map<string, SinkValue> }).rows
  const change = (key: string, members: Partial<SinkValue>) =>
    void rows.set(key, { ...rows.get(key)!, ...members })
  return {
    name: 'memory',
    sink,
    async save(key) {
      const row = rows.get(key)
      return { putBack: async () => void (row ? rows.set(key, row) : rows.delete(key)) }
    },
    lose: async (key) => void rows.delete(key),
    corrupt: async (key) => change(key, { hash: randomHash() }),
    tamper: async (key) => change(key, { value: { ...(rows.get(key)!.value as object), count: -7 } }),
    invent: async (key, like) => void rows.set(key, { ...rows.get(like)!, key }),
    dump: async () =>
      new Map([...rows].map(([key, row]) => [key, JSON.stringify({ ...row, hash: String(row.hash) })])),
    close: async () => {},
  }
}

export function redisCopy(
  collection: Countable,
  options: RedisOptions,
  prefix = '',
  name = `${prefix}${randomUUID()}`,
): Copy {
  const client = new Redis(options)
  const rows = `sink:${name}:rows`
  const dataKey = (key: string): string => `${name}:${key}`
  const sink = redisSink({ client, collection, key: `${name}:{key}`, prefix: `sink:${name}` })
  const store = async (key: string, record: Buffer | null, value: string | null): Promise<void> => {
    const both = client.multi()
    if (record) both.hset(rows, dataKey(key), record)
    else both.hdel(rows, dataKey(key))
    if (value === null) both.del(dataKey(key))
    else both.set(dataKey(key), value)
    await both.exec()
  }
  const record = async (key: string): Promise<Buffer> => (await client.hgetBuffer(rows, dataKey(key)))!
  return {
    name: 'redis',
    sink,
    async save(key) {
      const [saved, value] = await Promise.all([record(key), client.get(dataKey(key))])
      return { putBack: () => store(key, saved, value) }
    },
    lose: (key) => store(key, null, null),
    async corrupt(key) {
      const forged = await record(key)
      forged.writeBigUInt64BE(randomHash(), 12)
      await client.hset(rows, dataKey(key), forged)
    },
    async tamper(key) {
      const value = JSON.parse((await client.get(dataKey(key)))!) as object
      await client.set(dataKey(key), JSON.stringify({ ...value, count: -7 }))
    },
    async invent(key, like) {
      const forged = Buffer.concat([(await record(like)).subarray(0, 25), Buffer.from(key)])
      await store(key, forged, await client.get(dataKey(like)))
    },
    async dump() {
      const dumped = new Map<string, string>()
      let cursor = '0'
      do {
        const [next, page] = await client.hscanBuffer(rows, cursor, 'COUNT', 2_000)
        cursor = String(next)
        const names = page.filter((_, at) => at % 2 === 0).map(String)
        const values = names.length > 0 ? await client.mget(names) : []
        for (const [at, held] of names.entries()) {
          const print = createHash('md5').update(page[2 * at + 1]!)
          dumped.set(held.slice(name.length + 1), print.update(String(values[at])).digest('base64'))
        }
      } while (cursor !== '0')
      return dumped
    },
    async close() {
      const keys = [...(await client.keys(`${name}:*`)), ...(await client.keys(`sink:${name}*`))]
      if (keys.length > 0) await client.unlink(keys)
      client.disconnect()
    },
  }
}

export function postgresCopy(
  collection: Countable,
  { connection, schema }: { readonly connection: PoolConfig; readonly schema: string },
  table = `copy_${randomUUID()}`,
): Copy {
  const pool = new Pool({ ...connection, max: 4 })
  const [rows, tombstones] = [`"${schema}"."${table}"`, `"${schema}".hw_tombstones`]
  const sink = postgresSink({ pool, collection, schema, table })
  const lose = async (key: string): Promise<void> => {
    await pool.query(`DELETE FROM ${rows} WHERE key = $1`, [key])
    await pool.query(`DELETE FROM ${tombstones} WHERE target = $1 AND key = $2`, [table, key])
  }
  return {
    name: 'postgres',
    sink,
    async save(key) {
      const found = await pool.query<{ row: string }>(
        `SELECT to_jsonb(t)::text AS row FROM ${rows} t WHERE key = $1`,
        [key],
      )
      const row = found.rows[0]?.row
      return {
        async putBack() {
          await lose(key)
          if (row === undefined) return
          await pool.query(
            `INSERT INTO ${rows} SELECT * FROM jsonb_populate_record(NULL::${rows}, $1::jsonb)`,
            [row],
          )
        },
      }
    },
    lose,
    corrupt: async (key) =>
      void (await pool.query(`UPDATE ${rows} SET hw_hash = $2 WHERE key = $1`, [key, String(randomHash())])),
    tamper: async (key) => void (await pool.query(`UPDATE ${rows} SET count = -7 WHERE key = $1`, [key])),
    async invent(key, like) {
      await pool.query(
        `INSERT INTO ${rows} SELECT (jsonb_populate_record(t, jsonb_build_object('key', $1::text))).* FROM ${rows} t WHERE key = $2`,
        [key, like],
      )
    },
    async dump() {
      const dumped = new Map<string, string>()
      let last = ''
      for (;;) {
        const { rows: page } = await pool.query<{ key: string; row: string }>(
          `SELECT * FROM (
            (SELECT key, md5(to_jsonb(t)::text) AS row FROM ${rows} t WHERE key > $2 ORDER BY key LIMIT 5000)
            UNION ALL
            (SELECT key, md5(to_jsonb(d)::text) FROM ${tombstones} d WHERE target = $1 AND key > $2 ORDER BY key LIMIT 5000)
          ) held ORDER BY key LIMIT 5000`,
          [table, last],
        )
        for (const { key, row } of page) dumped.set(key, row)
        if (page.length < 5_000) return dumped
        last = page.at(-1)!.key
      }
    },
    async close() {
      await pool.query(`DROP TABLE IF EXISTS ${rows}`)
      await pool.end()
    },
  }
}

/** Never the same twice: two rows that are off by the same amount, one up, one down, have the sum of two that are right. */
function randomHash(): bigint {
  return BigInt.asUintN(63, randomBytes(8).readBigUInt64BE()) || 1n
}
