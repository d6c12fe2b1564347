import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { endedWithParent } from './death-signal.ts'
import { freePort } from './free-port.ts'
import { type KeeperLink, keeperLink } from './keeper-link.ts'
import { LocalServerError } from './local-server-error.ts'
import { type RedisBinary, findRedisBinary } from './redis-binary.ts'
import { ServerProcess } from './server-process.ts'

/** Directives of redis.conf; a list repeats the directive. */
export type RedisConfig = Readonly<Record<string, string | readonly string[]>>

/** How one process of redis-server runs. */
export interface RedisNodeOptions {
  readonly config?: RedisConfig
  readonly port?: boolean | number
  readonly dir?: string
  /** A command that runs the server's, such as `env` with settings. */
  readonly under?: readonly string[]
  readonly sentinel?: boolean
}

/** A process of redis-server that is ours: a server, a member of a Cluster, or a Sentinel. */
export class RedisNode implements AsyncDisposable {
  readonly own = true
  readonly namespacePrefix = ''
  readonly socketPath: string
  readonly host: string | undefined
  readonly port: number | undefined
  /** Where it saves its data. */
  readonly dir: string
  readonly #password: string | undefined
  readonly #process: ServerProcess

  private constructor(
    keeper: KeeperLink,
    binary: RedisBinary,
    { config = {}, port, dir, under = [], sentinel = false }: RedisNodeOptions & { port?: number },
  ) {
    const folder = keeper.createFolder()
    this.socketPath = join(folder, 'redis.sock')
    this.port = port
    this.host = port === undefined ? undefined : '127.0.0.1'
    this.dir = dir ?? join(folder, 'dump')
    const password = config['requirepass']
    this.#password = typeof password === 'string' && password !== '' ? password : undefined
    const file = join(folder, 'redis.conf')
    mkdirSync(this.dir, { recursive: true, mode: 0o700 })
    writeFileSync(file, formatConfig({ ...this.#defaults(binary, sentinel), ...config }), { mode: 0o600 })
    this.#process = new ServerProcess(keeper, {
      name: sentinel ? 'Sentinel' : 'Redis',
      folder,
      argv: endedWithParent([...under, binary.path, file, ...(sentinel ? ['--sentinel'] : [])] as [
        string,
        ...string[],
      ]),
      env: binary.env,
      endSignal: 'SIGTERM',
      // Its port may be taken by another server, which answers too: the socket is in a folder of its own, and is opened
      // after the port.
      ready: (_pid, giveUp) => answers(this.#socketOptions, giveUp),
    })
  }

  /** Starts the process and waits until it answers and has loaded its data. */
  static async start(options: RedisNodeOptions): Promise<RedisNode> {
    const binary = await findRedisBinary()
    const keeper = await keeperLink()
    for (;;) {
      const port = options.port === true ? await freePort() : options.port || undefined
      const node = new RedisNode(keeper, binary, { ...options, port })
      try {
        await node.#process.start()
        return node
      } catch (error) {
        await node.stop()
        if (options.port !== true || !isPortTaken(error)) throw error
      }
    }
  }

  get url(): string {
    const password = encodeURIComponent(this.#password ?? '')
    if (this.port !== undefined) return `redis://${password && `:${password}@`}127.0.0.1:${this.port}`
    // ioredis takes the path of a socket as it stands, and what else it needs from the query.
    return `unix://${this.socketPath}${password && `?password=${password}`}`
  }

  get options(): RedisOptions {
    return this.port === undefined
      ? this.#socketOptions
      : { host: '127.0.0.1', port: this.port, ...this.#credentials }
  }

  get pid(): number {
    return this.#process.pid
  }

  kill(signal: NodeJS.Signals): Promise<void> {
    return this.#process.kill(signal)
  }

  restart(): Promise<void> {
    return this.#process.restart()
  }

  stop(): Promise<void> {
    return this.#process.stop()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  get #socketOptions(): RedisOptions {
    return { path: this.socketPath, ...this.#credentials }
  }

  get #credentials(): RedisOptions {
    return this.#password === undefined ? {} : { password: this.#password }
  }

  #defaults(binary: RedisBinary, sentinel: boolean): RedisConfig {
    const addresses = {
      bind: '127.0.0.1',
      port: String(this.port ?? 0),
      unixsocket: JSON.stringify(this.socketPath),
      unixsocketperm: '700',
      dir: JSON.stringify(this.dir),
    }
    if (sentinel) return addresses
    return {
      ...addresses,
      save: '',
      appendonly: 'no',
      ...(knowsDebugDirective(binary) ? { 'enable-debug-command': 'yes' } : {}),
    }
  }
}

function formatConfig(config: RedisConfig): string {
  return Object.entries(config)
    .flatMap(([name, value]) =>
      (typeof value === 'string' ? [value] : value).map((one) => `${name} ${one === '' ? '""' : one}\n`),
    )
    .join('')
}

// Redis 7.0 locked DEBUG behind a directive that 6.2 does not know; every Valkey is newer.
function knowsDebugDirective({ version }: RedisBinary): boolean {
  const major = /^Redis server v=(\d+)/.exec(version)?.[1]
  return major === undefined || Number(major) >= 7
}

function isPortTaken(error: unknown): boolean {
  return error instanceof LocalServerError && error.message.includes('Address already in use')
}

async function answers(options: RedisOptions, giveUp: AbortSignal): Promise<void> {
  // Its ready check also waits for a server that loads its data.
  const client = new Redis({ ...options, retryStrategy: () => 5, maxRetriesPerRequest: null })
  try {
    await new Promise<void>((resolve, reject) => {
      client.on('ready', resolve)
      // Refused until the server listens: the retries go on.
      client.on('error', () => {})
      giveUp.addEventListener('abort', () => reject(giveUp.reason as Error))
    })
  } finally {
    client.disconnect()
  }
}
