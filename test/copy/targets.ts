import { randomUUID } from 'node:crypto'
import { notes, type Note } from '@headwater/conformance'
import type { Sink } from '@headwater/core'
import type { PostgresServer, RedisCluster, RedisServer } from '@headwater/local-servers'
import { postgresSink } from '@headwater/postgres'
import { redisSink } from '@headwater/redis'
import { Cluster, Redis } from 'ioredis'
import { Pool } from 'pg'
import { swappedDatabases } from './rebuild-process-options.ts'

/** A target of which versions can be built, as its readers see it. */
export interface VersionedTarget {
  readonly name: string
  /** A sink on it, with clients of its own, as each process has one. */
  sink(): Sink<Note>
  /** Everything that readers see at this moment, by key: read as the documentation tells readers to. */
  dump(): Promise<Map<string, unknown>>
  close(): Promise<void>
}

export function pointedRedis(server: RedisServer): VersionedTarget & { readonly id: string } {
  const name = `${server.namespacePrefix}${randomUUID()}`
  const clients: Redis[] = []
  const connect = (): Redis => {
    const client = new Redis(server.options)
    clients.push(client)
    return client
  }
  const reader = connect()
  return {
    name: 'redis behind a pointer',
    id: name,
    sink: () =>
      redisSink({
        client: connect(),
        collection: notes,
        key: `${name}:{version}:{key}`,
        prefix: `sink:${name}`,
        versions: { pointer: `${name}:version` },
      }),
    async dump() {
      const prefix = `${name}:${await reader.get(`${name}:version`)}:`
      return await valuesUnder(reader, prefix)
    },
    async close() {
      for (const key of await reader.keys(`*${name}*`)) await reader.unlink(key)
      for (const client of clients) client.disconnect()
    },
  }
}

export function pointedCluster(
  cluster: RedisCluster,
): VersionedTarget & { left(version: number): Promise<string[]> } {
  const name = randomUUID()
  const clients: Cluster[] = []
  const connect = (): Cluster => {
    const client = new Cluster(cluster.addresses)
    clients.push(client)
    return client
  }
  const reader = connect()
  return {
    name: 'a redis cluster behind a pointer',
    sink: () =>
      redisSink({
        client: connect(),
        collection: notes,
        key: `${name}:{version}:{{key}}`,
        prefix: `sink:${name}`,
        versions: { pointer: `${name}:version` },
      }),
    async dump() {
      const prefix = `${name}:${await reader.get(`${name}:version`)}:{`
      const values = new Map<string, unknown>()
      for (const node of reader.nodes('master')) {
        for (const key of await node.keys(`${prefix}*`)) {
          const text = await node.get(key)
          if (text !== null) values.set(key.slice(prefix.length, -1), JSON.parse(text))
        }
      }
      return values
    },
    /** Keys that are left of a version, its bookkeeping included. */
    async left(version) {
      const patterns = [`${name}:${version}:*`, `sink:${name}:v${version}:*`]
      const found = reader.nodes('master').flatMap((node) => patterns.map((pattern) => node.keys(pattern)))
      return (await Promise.all(found)).flat()
    },
    async close() {
      for (const client of clients) client.disconnect()
    },
  }
}

export function swappedRedis(server: RedisServer): VersionedTarget {
  const clients: Redis[] = []
  const connect = (db: number): Redis => {
    const client = new Redis({ ...server.options, db })
    clients.push(client)
    return client
  }
  const reader = connect(swappedDatabases[0])
  return {
    name: 'redis in a database of its own',
    sink: () =>
      redisSink({
        client: connect(swappedDatabases[0]),
        collection: notes,
        key: 'note:{key}',
        versions: { spare: connect(swappedDatabases[1]) },
      }),
    dump: () => valuesUnder(reader, 'note:'),
    async close() {
      await reader.flushdb()
      await connect(swappedDatabases[1]).flushdb()
      for (const client of clients) client.disconnect()
    },
  }
}

export function postgresTable(
  server: PostgresServer,
): VersionedTarget & { readonly pool: Pool; readonly table: string } {
  const table = `notes_${randomUUID().slice(0, 8)}`
  const pools: Pool[] = []
  const connect = (): Pool => {
    const pool = new Pool({ ...server.connection, max: 6 })
    pools.push(pool)
    return pool
  }
  const pool = connect()
  const { schema } = server
  return {
    name: 'a postgres table',
    pool,
    table,
    sink: () => postgresSink({ pool: connect(), collection: notes, schema, table, layout: 'jsonb' }),
    async dump() {
      const { rows } = await pool.query<{ key: string; value: unknown }>(
        `SELECT key, value FROM "${schema}"."${table}"`,
      )
      return new Map(rows.map(({ key, value }) => [key, value]))
    },
    async close() {
      await pool.query(`DROP TABLE IF EXISTS "${schema}"."${table}" CASCADE`)
      await Promise.all(pools.map((each) => each.end()))
    },
  }
}

async function valuesUnder(client: Redis, prefix: string): Promise<Map<string, unknown>> {
  const values = new Map<string, unknown>()
  for (const key of await client.keys(`${prefix}*`)) {
    const text = await client.get(key)
    if (text !== null) values.set(key.slice(prefix.length), JSON.parse(text))
  }
  return values
}
