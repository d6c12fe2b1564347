import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { notes } from '@headwater/conformance'
import { connect, type Log, type Position } from '@headwater/core'
import { startRedis, type OwnPostgresServer, type OwnRedisServer } from '@headwater/local-servers'
import { Redis, type Cluster } from 'ioredis'
import { Client } from 'pg'
import { ChildWorker } from '../support/child-worker.ts'
import { eventually } from '../support/eventually.ts'
import { startPostgresLink, type PostgresLink } from '../support/postgres-link.ts'
import { Random } from '../support/random.ts'
import { rawChanges } from '../support/raw-log.ts'
import type { ToldEvent, WorkerProcessSink } from '../support/worker-process-options.ts'
import { Audit } from './audit.ts'
import type { Evidence } from './check-history.ts'
import { Clock } from './clock.ts'
import { Sharded } from './deployment/cluster.ts'
import type { Deployment, DeploymentName } from './deployment/deployment.ts'
import { BehindSentinels } from './deployment/sentinel.ts'
import { Single } from './deployment/single.ts'
import { HistoryFile } from './history-file.ts'
import { Links } from './links.ts'
import { Probe, type Term } from './probe.ts'
import { Writer } from './writer.ts'

export const groups = ['cache', 'table'] as const
const partitions = 4

/** Where a copy of the log's Redis was taken: what it holds at most, by partition. */
export interface Copy {
  readonly dir: string
  readonly sequences: readonly number[]
}

/** An append that an undisturbed observer saw acknowledged. */
export interface Acknowledged {
  /** When it was begun, by the monotonic clock. */
  readonly begunAt: number
  readonly position: Position
}

export interface WorldOptions {
  readonly seed: number
  readonly deployment: DeploymentName
  readonly postgres: OwnPostgresServer
  /** Appends at a time of each of the three writers. Default 6. */
  readonly lanes?: number
  /** How long a worker's right to a partition lasts without a sign of life; other time limits follow it. Default 1,000. */
  readonly leaseMs?: number
}

/**
 * A log, its writers, its workers and two sinks, each behind links that can be broken, and whoever watches them by ways
 * that nobody breaks.
 */
export class World implements AsyncDisposable {
  readonly deployment: Deployment
  readonly cache: OwnRedisServer
  readonly postgres: OwnPostgresServer
  readonly links: Readonly<Record<'writers' | 'workers' | 'cache' | 'table', Links>>
  /** Of nobody's concern: to the cache's Redis, and below to the log's. */
  readonly cacheClient: Redis
  #client: Redis | Cluster
  readonly log: Log
  /** The wall clock of the log's server and of the workers, where it can be set wrong. */
  readonly clock: Clock | undefined
  readonly folder: string
  readonly leaseMs: number
  /** What workers told that are gone. */
  readonly #pastEvents: ToldEvent[] = []
  readonly #table: PostgresLink
  readonly #probe: Probe
  readonly #random: Random
  readonly #lanes: number
  readonly #stopping = new AbortController()
  readonly #histories: HistoryFile[] = []
  readonly #writing: Promise<void>[] = []
  readonly #logs: Log[] = []
  /** By partition: the latest that was acknowledged. */
  readonly #acknowledged = new Map<number, Acknowledged>()
  #tableClient: Client | undefined
  #audit: Audit | undefined
  #workers: ChildWorker[] = []
  #childWriter: ChildProcess | undefined
  #stopped = false

  private constructor(parts: WorldParts) {
    this.deployment = parts.deployment
    this.#random = parts.random
    this.#lanes = parts.lanes
    this.leaseMs = parts.leaseMs
    this.cache = parts.cache
    this.postgres = parts.postgres
    this.links = parts.links
    this.#client = parts.client
    this.cacheClient = parts.cacheClient
    this.log = parts.log
    this.clock = parts.clock
    this.folder = parts.folder
    this.#table = parts.table
    this.#probe = new Probe({ cache: () => this.#readCache(), table: () => this.#readTable() }, () =>
      this.#readGroups(),
    )
  }

  static async begin({
    seed,
    deployment: name,
    postgres,
    lanes = 6,
    leaseMs = 1_000,
  }: WorldOptions): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'headwater-faults-'))
    const clock = name === 'single' ? Clock.make(folder) : undefined
    const deployment = await startDeployment(name, folder, clock)
    const cache = await startRedis({ own: true })
    const table = await startPostgresLink(postgres)
    const client = deployment.openClient()
    const cacheClient = new Redis({ ...cache.options, protocol: 2, retryStrategy: () => 20 })
    // Servers are killed on purpose; without a listener ioredis would print it.
    for (const one of [client, cacheClient]) one.on('error', () => {})
    const world = new World({
      random: new Random(seed),
      lanes,
      leaseMs,
      folder,
      clock,
      deployment,
      cache,
      postgres,
      table,
      links: {
        writers: await Links.start(deployment.servers.map(({ options }) => options)),
        workers: await Links.start(deployment.servers.map(({ options }) => options)),
        cache: await Links.start([cache.options]),
        table: new Links([table.proxy]),
      },
      client,
      cacheClient,
      log: await connect(deployment.target, {
        namespace: `faults-${seed}`,
        collections: [notes],
        partitions,
        durability: deployment.durability,
        replicas: deployment.replicas,
      }),
    })
    await Promise.all([world.startWorker(), world.startWorker(), world.startChildWriter()])
    for (const writer of ['ann', 'bob']) await world.#startWriter(writer)
    await eventually(async () => (await world.#tables()) || Promise.reject(new Error('No tables yet.')), {
      timeoutMs: 120_000,
    })
    world.#audit = new Audit(postgres.schema, world.log.namespace)
    await world.#audit.begin(world.#tableClient!)
    return world
  }

  /** ioredis gives up for good where Sentinels move the master just while it connects. */
  get client(): Redis | Cluster {
    if (this.#client.status === 'end' && !this.#stopped) {
      this.#client = this.deployment.openClient()
      this.#client.on('error', () => {})
    }
    return this.#client
  }

  get workers(): readonly ChildWorker[] {
    return this.#workers
  }

  get events(): readonly ToldEvent[] {
    return [...this.#pastEvents, ...this.#workers.flatMap(({ events }) => events)]
  }

  /** By partition: what was acknowledged last to a writer of this process. */
  get acknowledged(): ReadonlyMap<number, Acknowledged> {
    return this.#acknowledged
  }

  /** How many changes each partition has. */
  async sequences(): Promise<number[]> {
    return await Promise.all(
      Array.from({ length: partitions }, async (_, partition) =>
        Number(await this.client.hget(`${this.prefix(partition)}:header`, 'sequence')),
      ),
    )
  }

  /** How far every partition of every group is saved at its sink, at the least. */
  async savedBeyond(sequences: readonly number[]): Promise<boolean> {
    for (const group of groups) {
      for (const [partition, sequence] of sequences.entries()) {
        const saved = await this.client.hget(`${this.prefix(partition)}:group:${group}`, 'saved')
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
        const lost = await this.client.hget(`${this.prefix(partition)}:group:${group}`, 'lost')
        noted.set(`${group} ${partition}`, lost)
      }
    }
    return noted
  }

  async startWorker(): Promise<void> {
    const redis: WorkerProcessSink = {
      kind: 'redis',
      target: { ...this.cache.options, ...this.links.cache.proxies[0]!.address },
      prefix: this.log.namespace,
    }
    const table: WorkerProcessSink = {
      kind: 'postgres',
      connection: this.#table.connection,
      schema: this.postgres.schema,
      table: this.log.namespace,
    }
    const worker = await ChildWorker.start({
      log: this.deployment.through(this.links.workers),
      namespace: this.log.namespace,
      groups: { cache: redis, table },
      leaseMs: this.leaseMs,
      attemptMs: this.#limits.attemptMs,
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

  /** Lets a worker end in peace. */
  async retireWorker(worker: ChildWorker): Promise<void> {
    this.#workers = this.#workers.filter((other) => other !== worker)
    await worker.kill('SIGTERM')
    this.#pastEvents.push(...worker.events)
  }

  /** Starts the writer that lives in a process of its own, or its successor, which ends what it had begun. */
  async startChildWriter(): Promise<void> {
    const name = 'cid'
    const options = {
      target: this.deployment.through(this.links.writers),
      namespace: this.log.namespace,
      name,
      seed: this.#random.below(1_000_000),
      file: join(this.folder, name),
      lanes: this.#lanes,
      ...this.#limits,
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
    const dir = join(this.folder, 'copy')
    await cp(this.deployment.servers[0]!.dir, dir, { recursive: true })
    return { dir, sequences: await this.sequences() }
  }

  /** Brings the log's Redis back with an older copy. */
  async restoreLog({ dir }: Copy): Promise<void> {
    const [server] = this.deployment.servers as [OwnRedisServer]
    await server.kill('SIGKILL')
    await rm(server.dir, { recursive: true })
    await cp(dir, server.dir, { recursive: true })
    await server.restart()
  }

  /** Lets everything through again, and starts what is dead. */
  async mend(): Promise<void> {
    await Promise.all(Object.values(this.links).map((link) => link.mend()))
    await this.deployment.mend()
  }

  /** Waits until so many more changes are in the log. */
  async progress(changes: number): Promise<void> {
    const total = async (): Promise<number> =>
      (await this.sequences()).reduce((sum, sequence) => sum + sequence, 0)
    const before = await eventually(total, { timeoutMs: 30_000 })
    await eventually(
      async () => {
        const now = await total()
        if (now < before + changes) throw new Error(`The log stands still at ${now} changes.`)
      },
      { timeoutMs: 60_000, everyMs: 50 },
    )
  }

  /** Mends everything, lets the writers end, and waits until there is nothing left to do, but not for ever. */
  async quieten(): Promise<void> {
    await this.mend()
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
      { timeoutMs: 60_000 },
    )
  }

  async evidence(): Promise<Evidence> {
    await this.#probe.stop()
    const numbers = Array.from({ length: partitions }, (_, partition) => partition)
    const inherited = await Promise.all(
      numbers.map(async (partition) => {
        const header = await this.client.hgetall(`${this.prefix(partition)}:header`)
        return new Map(
          Object.entries(header)
            .filter(([field]) => field.startsWith('epoch:'))
            .map(([field, value]) => [Number(field.slice(6)), Number(value.split(' ')[0])] as const),
        )
      }),
    )
    return {
      attempts: [...this.#histories, new HistoryFile(join(this.folder, 'cid'))].flatMap((file) =>
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
      terms: this.#probe.terms(),
      // Its client is the one that has just read the table.
      audit: await this.#audit!.findings(this.#tableClient!),
    }
  }

  prefix(partition: number): string {
    return `headwater:{${this.log.namespace}:${partition}}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true
    this.#stopping.abort()
    await this.#probe.stop()
    for (const worker of this.#workers) await worker.kill('SIGKILL')
    this.#childWriter?.kill('SIGKILL')
    for (const link of Object.values(this.links)) await link[Symbol.asyncDispose]()
    await Promise.allSettled(this.#writing)
    await this.log.close()
    await Promise.all(this.#logs.map((log) => log.close()))
    this.#client.disconnect()
    this.cacheClient.disconnect()
    await this.#tableClient?.end()
    await Promise.all([this.deployment[Symbol.asyncDispose](), this.cache.stop()])
    this.clock?.close()
    await rm(this.folder, { recursive: true, force: true })
  }

  async #startWriter(name: string): Promise<void> {
    const target = this.deployment.through(this.links.writers)
    const options = { namespace: this.log.namespace, collections: [notes], ...this.#limits }
    // Its own deadline is short for a machine that starts so many processes just now.
    const log = await eventually(() => connect(target, options), { timeoutMs: 120_000 })
    this.#logs.push(log)
    const history = new HistoryFile(join(this.folder, name))
    this.#histories.push(history)
    const random = new Random(this.#random.below(1_000_000))
    const writer = new Writer({
      log,
      name,
      random,
      history,
      lanes: this.#lanes,
      signal: this.#stopping.signal,
      onAcknowledged: (position, begunAt) => {
        const partition = Number(position.split(':')[0])
        const latest = this.#acknowledged.get(partition)
        if (!latest || latest.begunAt < begunAt) this.#acknowledged.set(partition, { begunAt, position })
      },
    })
    this.#writing.push(writer.run())
  }

  get #limits(): { readonly deadlineMs: number; readonly attemptMs: number } {
    return { deadlineMs: this.leaseMs * 1.5, attemptMs: this.leaseMs / 2 }
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
    const name = `"${this.postgres.schema}"."${this.log.namespace}"`
    if (!(await this.#tables())) return new Map()
    const { rows } = await this.#tableClient!.query<{ id: string; content: string }>(
      `select id, content from ${name}`,
    )
    return new Map(rows.map(({ id, content }) => [id, content]))
  }

  /** Whether the sink has made its tables. Connects again where the server was killed. */
  async #tables(): Promise<boolean> {
    if (!this.#tableClient) {
      const client = new Client(this.postgres.connection)
      client.on('error', () => {
        if (this.#tableClient === client) this.#tableClient = undefined
      })
      await client.connect()
      this.#tableClient = client
    }
    const names = [this.log.namespace, 'hw_partitions'].map((name) => `"${this.postgres.schema}"."${name}"`)
    const { rows } = await this.#tableClient.query<{ known: boolean }>(
      'select to_regclass($1) is not null and to_regclass($2) is not null as known',
      names,
    )
    return rows[0]!.known
  }

  /** By group and partition: under which token its owner works. */
  async #readGroups(): Promise<Map<string, Term>> {
    const terms = new Map<string, Term>()
    for (let partition = 0; partition < partitions; partition++) {
      for (const group of groups) {
        const answers = await this.client
          .multi()
          .hget(`${this.prefix(partition)}:group:${group}`, 'token')
          .info('replication')
          .exec()
        const [[, token], [, info]] = answers as [[unknown, string | null], [unknown, string]]
        const server = /^master_replid:(\w+)/m.exec(info)?.[1] ?? ''
        if (token !== null) terms.set(`${group} ${partition}`, { server, token: Number(token) })
      }
    }
    return terms
  }
}

async function startDeployment(
  name: DeploymentName,
  folder: string,
  clock: Clock | undefined,
): Promise<Deployment> {
  if (name === 'sentinel') return await BehindSentinels.start()
  if (name === 'cluster') return await Sharded.start()
  // Else the kernel would end a server that writes beyond the limit by which a full disk is played.
  return await Single.start(join(folder, 'log'), ['env', '--ignore-signal=XFSZ', ...(clock?.settings ?? [])])
}

interface WorldParts {
  readonly random: Random
  readonly lanes: number
  readonly leaseMs: number
  readonly folder: string
  readonly clock: Clock | undefined
  readonly deployment: Deployment
  readonly cache: OwnRedisServer
  readonly postgres: OwnPostgresServer
  readonly table: PostgresLink
  readonly links: World['links']
  readonly client: Redis | Cluster
  readonly cacheClient: Redis
  readonly log: Log
}
