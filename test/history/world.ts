import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { notes } from '@headwater/conformance'
import { connect, type Log } from '@headwater/core'
import {
  startProxy,
  startRedis,
  type OwnRedisServer,
  type PostgresServer,
  type TcpProxy,
} from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { Client } from 'pg'
import { ChildWorker } from '../support/child-worker.ts'
import { eventually } from '../support/eventually.ts'
import { startPostgresLink, type PostgresLink } from '../support/postgres-link.ts'
import { Random } from '../support/random.ts'
import { rawChanges } from '../support/raw-log.ts'
import type { ToldEvent, WorkerProcessSink } from '../support/worker-process-options.ts'
import type { Evidence } from './check-history.ts'
import { HistoryFile } from './history-file.ts'
import { Probe } from './probe.ts'
import { Writer } from './writer.ts'

export const groups = ['cache', 'table'] as const
const partitions = 4
const limits = { deadlineMs: 1_500, attemptMs: 300 }

/** Where a copy of the log's Redis was taken: what it holds at most, by partition. */
export interface Copy {
  readonly dir: string
  readonly sequences: readonly number[]
}

/**
 * A log, its writers, its workers and two sinks, each behind links that can be broken, and whoever watches them by ways
 * that nobody breaks.
 */
export class World implements AsyncDisposable {
  readonly server: OwnRedisServer
  readonly cache: OwnRedisServer
  readonly links: Readonly<Record<'writers' | 'workers' | 'cache' | 'table', TcpProxy>>
  /** Of nobody's concern: straight to the log's Redis, and to the cache's. */
  readonly client: Redis
  readonly cacheClient: Redis
  readonly log: Log
  readonly random: Random
  /** What workers told that are gone. */
  readonly #pastEvents: ToldEvent[] = []
  readonly #folder: string
  readonly #table: PostgresLink
  readonly #schema: string
  readonly #tableClient: Client
  readonly #probe: Probe
  readonly #stopping = new AbortController()
  readonly #histories: HistoryFile[] = []
  readonly #writing: Promise<void>[] = []
  readonly #logs: Log[] = []
  #workers: ChildWorker[] = []
  #childWriter: ChildProcess | undefined
  #stopped = false

  private constructor(parts: WorldParts) {
    this.random = parts.random
    this.server = parts.server
    this.cache = parts.cache
    this.links = parts.links
    this.client = parts.client
    this.cacheClient = parts.cacheClient
    this.log = parts.log
    this.#folder = parts.folder
    this.#table = parts.table
    this.#schema = parts.schema
    this.#tableClient = parts.tableClient
    this.#probe = new Probe({ cache: () => this.#readCache(), table: () => this.#readTable() })
  }

  static async begin(namespace: string, seed: number, postgres: PostgresServer): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'headwater-history-'))
    const server = await startRedis({
      own: true,
      dir: join(folder, 'log'),
      config: { appendonly: 'yes', appendfsync: 'everysec' },
    })
    const cache = await startRedis({ own: true })
    const table = await startPostgresLink(postgres)
    const watching = { protocol: 2, retryStrategy: () => 20 } as const
    const client = new Redis({ ...server.options, ...watching })
    const cacheClient = new Redis({ ...cache.options, ...watching })
    // The log's server is killed on purpose; without a listener ioredis would print it.
    client.on('error', () => {})
    const tableClient = new Client(postgres.connection)
    await tableClient.connect()
    const world = new World({
      random: new Random(seed),
      folder,
      server,
      cache,
      table,
      schema: postgres.schema,
      links: {
        writers: await startProxy(server.options),
        workers: await startProxy(server.options),
        cache: await startProxy(cache.options),
        table: table.proxy,
      },
      client,
      cacheClient,
      tableClient,
      log: await connect(server.options, { namespace, collections: [notes], partitions }),
    })
    await Promise.all([world.startWorker(), world.startWorker(), world.startChildWriter()])
    for (const name of ['ann', 'bob']) await world.#startWriter(name)
    return world
  }

  get workers(): readonly ChildWorker[] {
    return this.#workers
  }

  get events(): readonly ToldEvent[] {
    return [...this.#pastEvents, ...this.#workers.flatMap(({ events }) => events)]
  }

  /** How many changes each partition has. */
  async sequences(): Promise<number[]> {
    return await Promise.all(
      Array.from({ length: partitions }, async (_, partition) =>
        Number(await this.client.hget(`${this.#prefix(partition)}:header`, 'sequence')),
      ),
    )
  }

  /** How far every partition of every group is saved at its sink, at the least. */
  async savedBeyond(sequences: readonly number[]): Promise<boolean> {
    for (const group of groups) {
      for (const [partition, sequence] of sequences.entries()) {
        const saved = await this.client.hget(`${this.#prefix(partition)}:group:${group}`, 'saved')
        if (Number(saved?.split('-')[1]) <= sequence) return false
      }
    }
    return true
  }

  /** By group and partition: what the record of the group says was lost. */
  async lossesNoted(): Promise<Map<string, string | null>> {
    const noted = new Map<string, string | null>()
    for (const group of groups) {
      for (let partition = 0; partition < partitions; partition++) {
        const lost = await this.client.hget(`${this.#prefix(partition)}:group:${group}`, 'lost')
        noted.set(`${group} ${partition}`, lost)
      }
    }
    return noted
  }

  async startWorker(): Promise<void> {
    const redis: WorkerProcessSink = {
      kind: 'redis',
      target: { ...this.cache.options, ...this.links.cache.address },
      prefix: this.log.namespace,
    }
    const table: WorkerProcessSink = {
      kind: 'postgres',
      connection: this.#table.connection,
      schema: this.#schema,
      table: this.log.namespace,
    }
    const worker = await ChildWorker.start({
      log: { ...this.server.options, ...this.links.workers.address },
      namespace: this.log.namespace,
      groups: { cache: redis, table },
      leaseMs: 500,
      attemptMs: limits.attemptMs,
    })
    if (this.#stopped) await worker.kill('SIGKILL')
    this.#workers.push(worker)
  }

  /** Kills a worker in the middle of whatever it does. */
  async killWorker(worker: ChildWorker): Promise<void> {
    this.#workers = this.#workers.filter((other) => other !== worker)
    await worker.kill('SIGKILL')
    this.#pastEvents.push(...worker.events)
  }

  /** Starts the writer that lives in a process of its own, or its successor, which ends what it had begun. */
  async startChildWriter(): Promise<void> {
    const name = 'cid'
    const options = {
      target: { ...this.server.options, ...this.links.writers.address },
      namespace: this.log.namespace,
      name,
      seed: this.random.below(1_000_000),
      file: join(this.#folder, name),
      ...limits,
    }
    const program = fileURLToPath(new URL('writer-process.ts', import.meta.url))
    const child = spawn(
      process.execPath,
      ['--conditions=@headwater/source', '--import', 'tsx', program, JSON.stringify(options)],
      { cwd: fileURLToPath(new URL('..', import.meta.url)), stdio: ['pipe', 'pipe', 'inherit'] },
    )
    this.#childWriter = child
    await once(child.stdout, 'data')
  }

  async killChildWriter(): Promise<void> {
    this.#childWriter!.kill('SIGKILL')
    await once(this.#childWriter!, 'exit')
  }

  /** Takes a copy of what the log's Redis has on disk, while it goes on. */
  async copyLog(): Promise<Copy> {
    const dir = join(this.#folder, 'copy')
    await cp(this.server.dir, dir, { recursive: true })
    return { dir, sequences: await this.sequences() }
  }

  /** Brings the log's Redis back with an older copy. */
  async restoreLog({ dir }: Copy): Promise<void> {
    await this.server.kill('SIGKILL')
    await rm(this.server.dir, { recursive: true })
    await cp(dir, this.server.dir, { recursive: true })
    await this.server.restart()
  }

  async restartLog(): Promise<void> {
    await this.server.kill('SIGKILL')
    await this.server.restart()
  }

  /** Mends everything, lets the writers end, and waits until there is nothing left to do. */
  async quieten(): Promise<void> {
    for (const link of Object.values(this.links)) {
      link.heal()
      await link.accept()
    }
    for (const worker of this.#workers) await worker.kill('SIGCONT')
    while (this.#workers.length < 2) await this.startWorker()
    this.#stopping.abort()
    const ended = once(this.#childWriter!, 'exit')
    this.#childWriter!.stdin!.end()
    await Promise.all([...this.#writing, ended])
    await eventually(
      async () => {
        const open = (await this.log.groups()).filter(({ lag, pending }) => lag > 0 || pending > 0)
        if (open.length > 0) throw new Error(`Not drained: ${JSON.stringify(open)}`)
      },
      { timeoutMs: 30_000 },
    )
  }

  async evidence(): Promise<Evidence> {
    await this.#probe.stop()
    const numbers = Array.from({ length: partitions }, (_, partition) => partition)
    const inherited = await Promise.all(
      numbers.map(async (partition) => {
        const header = await this.client.hgetall(`${this.#prefix(partition)}:header`)
        return new Map(
          Object.entries(header)
            .filter(([field]) => field.startsWith('epoch:'))
            .map(([field, value]) => [Number(field.slice(6)), Number(value.split(' ')[0])] as const),
        )
      }),
    )
    return {
      attempts: [...this.#histories, new HistoryFile(join(this.#folder, 'cid'))].flatMap((file) =>
        file.read(),
      ),
      log: await Promise.all(
        numbers.map((partition) => rawChanges(this.client, this.log.namespace, partition)),
      ),
      inherited,
      sinks: new Map([
        ['cache', await this.#readCache()],
        ['table', await this.#readTable()],
      ]),
      seen: this.#probe.seen(),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true
    this.#stopping.abort()
    await this.#probe.stop()
    for (const worker of this.#workers) await worker.kill('SIGKILL')
    this.#childWriter?.kill('SIGKILL')
    for (const link of Object.values(this.links)) await link.stop()
    await Promise.allSettled(this.#writing)
    await this.log.close()
    await Promise.all(this.#logs.map((log) => log.close()))
    this.client.disconnect()
    this.cacheClient.disconnect()
    await this.#tableClient.end()
    await Promise.all([this.server.stop(), this.cache.stop()])
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #startWriter(name: string): Promise<void> {
    const log = await connect(
      { ...this.server.options, ...this.links.writers.address },
      { namespace: this.log.namespace, collections: [notes], ...limits },
    )
    this.#logs.push(log)
    const history = new HistoryFile(join(this.#folder, name))
    this.#histories.push(history)
    const random = new Random(this.random.below(1_000_000))
    this.#writing.push(new Writer({ log, name, random, history, signal: this.#stopping.signal }).run())
  }

  async #readCache(): Promise<Map<string, string>> {
    const prefix = `${this.log.namespace}:`
    const names = await this.cacheClient.keys(`${prefix}*`)
    const texts = names.length > 0 ? await this.cacheClient.mget(names) : []
    const rows = new Map<string, string>()
    for (const [at, name] of names.entries()) {
      const text = texts[at]
      if (text) rows.set(name.slice(prefix.length), (JSON.parse(text) as { content: string }).content)
    }
    return rows
  }

  async #readTable(): Promise<Map<string, string>> {
    const name = `"${this.#schema}"."${this.log.namespace}"`
    const { rows: found } = await this.#tableClient.query<{ exists: string | null }>(
      'select to_regclass($1) as exists',
      [name],
    )
    if (!found[0]?.exists) return new Map()
    const { rows } = await this.#tableClient.query<{ id: string; content: string }>(
      `select id, content from ${name}`,
    )
    return new Map(rows.map(({ id, content }) => [id, content]))
  }

  #prefix(partition: number): string {
    return `headwater:{${this.log.namespace}:${partition}}`
  }
}

interface WorldParts {
  readonly random: Random
  readonly folder: string
  readonly server: OwnRedisServer
  readonly cache: OwnRedisServer
  readonly table: PostgresLink
  readonly schema: string
  readonly links: World['links']
  readonly client: Redis
  readonly cacheClient: Redis
  readonly tableClient: Client
  readonly log: Log
}
