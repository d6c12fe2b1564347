import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { endedWithParent } from './death-signal.ts'
import { useGivenPostgres } from './given-postgres.ts'
import { keeperLink } from './keeper-link.ts'
import { LocalServerError } from './local-server-error.ts'
import { POSTGRES_USER, createPostgresData } from './postgres-data.ts'
import { findPostgresPrograms } from './postgres-programs.ts'
import { POSTGRES_DATA, removeServerRemains } from './remains.ts'
import { ServerProcess } from './server-process.ts'

/** How `startPostgres` starts. */
export interface StartPostgresOptions {
  /** Settings of postgresql.conf. */
  readonly config?: Readonly<Record<string, string>>
  /** Lets commits survive a crash of the machine, as a real server does. Default: false, which is much faster. */
  readonly durable?: boolean
  /** Insists on a server of our own also when `DATABASE_URL` is set. Default: true when any other option is given. */
  readonly own?: boolean
}

/** For `new Pool(connection)` or `new Client(connection)` of pg. */
export interface PostgresConnection {
  readonly connectionString?: string
  /** The folder of the socket. */
  readonly host?: string
  readonly port?: number
  readonly user?: string
  readonly database?: string
}

/** A Postgres to work on: one of our own, or a schema of our own behind `DATABASE_URL`. */
export interface PostgresServer extends AsyncDisposable {
  /** Whether it is ours: then it is empty at first, and takes signals. */
  readonly own: boolean
  readonly connection: PostgresConnection
  /** The same as one text, for pg and libpq. */
  readonly url: string
  /** Where unqualified names lead: `public` on a server of our own. */
  readonly schema: string
  /**
   * Sends a signal; one that ends the server is waited for, and to SIGTERM Postgres waits for its clients first. Throws `NOT_OURS`
   * behind `DATABASE_URL`.
   */
  kill(signal: NodeJS.Signals): Promise<void>
  /** Ends it if it runs, and starts it with the same address and data. Throws `NOT_OURS` behind `DATABASE_URL`. */
  restart(): Promise<void>
  /** Ends the server and removes its folder; behind `DATABASE_URL` drops the schema. Safe to call twice. */
  stop(): Promise<void>
}

/** A Postgres server of our own. */
export interface OwnPostgresServer extends PostgresServer {
  readonly own: true
  readonly connection: PostgresConnection & { readonly host: string }
  readonly socketPath: string
  /** Of the postmaster that runs now: another one after a restart. */
  readonly pid: number
  /** Its data directory. */
  readonly dir: string
}

/**
 * Starts a Postgres server that listens on a socket in a private folder only, and waits until it answers; it ends with
 * this process at the latest. With `DATABASE_URL` set, and no option that asks for a server of our own, it makes a schema
 * there instead.
 */
export function startPostgres(
  options: StartPostgresOptions & { readonly own: true },
): Promise<OwnPostgresServer>
export function startPostgres(options?: StartPostgresOptions): Promise<PostgresServer>
export async function startPostgres(options: StartPostgresOptions = {}): Promise<PostgresServer> {
  const { own = Object.keys(options).length > 0, ...ownOptions } = options
  const url = process.env['DATABASE_URL']
  return url && !own ? useGivenPostgres(url) : startOwnPostgres(ownOptions)
}

const READY_POLL_MS = 5
// Part of the name of the socket. Given everywhere: PGPORT of the environment would change it.
const PORT = 5432
const ORPHANS_TIMEOUT_MS = 10_000

// Shared memory as files of the data directory: what a killed server leaves goes with its folder.
const SOCKET_ONLY = { listen_addresses: '', port: String(PORT), dynamic_shared_memory_type: 'mmap' }
// The template is made with little room for the log, which would have every load interrupted by checkpoints.
const ROOMY = { max_wal_size: '1GB' }
// What is committed survives the end of the process, however it ends, but not that of the machine.
const NOT_SYNCED = { fsync: 'off', full_page_writes: 'off' }

async function startOwnPostgres({
  config = {},
  durable = false,
}: StartPostgresOptions): Promise<OwnPostgresServer> {
  const programs = await findPostgresPrograms()
  const keeper = await keeperLink()
  const folder = keeper.createFolder()
  const dir = join(folder, POSTGRES_DATA)
  const settings = {
    ...SOCKET_ONLY,
    ...ROOMY,
    ...(durable ? {} : NOT_SYNCED),
    unix_socket_directories: folder,
    ...config,
  }
  const server = new ServerProcess(keeper, {
    name: 'Postgres',
    folder,
    argv: programs.asUser(
      endedWithParent([
        programs.postgres,
        '-D',
        dir,
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ]),
    ),
    // Fast shutdown: clients are disconnected instead of waited for.
    endSignal: 'SIGINT',
    ready: (pid, giveUp) => isReady(join(dir, 'postmaster.pid'), pid, giveUp),
  })
  try {
    await createPostgresData(keeper, programs, folder)
    await server.start()
  } catch (error) {
    await removeServerRemains(folder)
    throw error
  }
  return {
    own: true,
    connection: { host: folder, port: PORT, user: POSTGRES_USER, database: POSTGRES_USER },
    url: `postgresql://${POSTGRES_USER}@/${POSTGRES_USER}?host=${encodeURIComponent(folder)}&port=${PORT}`,
    socketPath: join(folder, `.s.PGSQL.${PORT}`),
    schema: 'public',
    dir,
    get pid() {
      return server.pid
    },
    kill: (signal) => server.kill(signal),
    restart: () => restart(server),
    stop: () => server.stop(),
    [Symbol.asyncDispose]: () => server.stop(),
  }
}

async function isReady(pidFile: string, pid: number, giveUp: AbortSignal): Promise<void> {
  for (;;) {
    // The postmaster tells its state in the eighth line; a killed one leaves its file behind, with another process id.
    const lines = await readFile(pidFile, 'utf8').then(
      (text) => text.split('\n'),
      () => [],
    )
    if (Number(lines[0]) === pid && lines[7]?.trim() === 'ready') return
    await delay(READY_POLL_MS, undefined, { signal: giveUp })
  }
}

// The children of a killed postmaster notice its death a moment later, and until then the data is theirs.
async function restart(server: ServerProcess): Promise<void> {
  const deadline = performance.now() + ORPHANS_TIMEOUT_MS
  for (;;) {
    try {
      return await server.restart()
    } catch (error) {
      const inUse =
        error instanceof LocalServerError && error.message.includes('pre-existing shared memory block')
      if (!inUse || performance.now() > deadline) throw error
    }
  }
}
