import { execFile } from 'node:child_process'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '@headwater/local-servers'
import { cacheEntry } from '../../packages/local-servers/src/cache-entry.ts'
import {
  canFetchPackages,
  systemName,
  unpackPackage,
} from '../../packages/local-servers/src/debian-package.ts'
import { endedWithParent } from '../../packages/local-servers/src/death-signal.ts'
import { keeperLink } from '../../packages/local-servers/src/keeper-link.ts'
import { findOnPath } from '../../packages/local-servers/src/search-path.ts'
import { ServerProcess } from '../../packages/local-servers/src/server-process.ts'

const run = promisify(execFile)
const host = '127.0.0.1'
const pollMs = 20

export interface NatsAddress {
  /** For `connect({ servers })`. */
  readonly servers: string
}

export interface NatsServer extends AsyncDisposable {
  readonly address: NatsAddress
  readonly version: string
}

/**
 * Starts a NATS server with JetStream: the one on PATH, else, on Debian and Ubuntu, the package, unpacked in the cache
 * of local servers. It ends with this process at the latest.
 */
export async function startNats(): Promise<NatsServer> {
  const program = await findNats()
  const { stdout } = await run(program, ['--version'])
  const keeper = await keeperLink()
  const folder = keeper.createFolder()
  const port = await freePort()
  const server = new ServerProcess(keeper, {
    name: 'NATS',
    folder,
    argv: endedWithParent([
      program,
      `--addr=${host}`,
      `--port=${port}`,
      '--jetstream',
      `--store_dir=${join(folder, 'jetstream')}`,
    ]),
    endSignal: 'SIGTERM',
    ready: (_pid, giveUp) => answers(port, giveUp),
  })
  await server.start()
  return {
    address: { servers: `${host}:${port}` },
    version: /v?(\d[\d.]*)/.exec(stdout)?.[1] ?? 'unknown',
    [Symbol.asyncDispose]: () => server.stop(),
  }
}

async function findNats(): Promise<string> {
  const found = findOnPath('nats-server')
  if (found !== undefined) return found
  if (!canFetchPackages()) throw new Error('No nats-server is on PATH, and none can be fetched here.')
  const root = await cacheEntry(`nats-${systemName()}`, (folder) => unpackPackage('nats-server', folder))
  return join(root, 'usr/sbin/nats-server')
}

async function answers(port: number, giveUp: AbortSignal): Promise<void> {
  while (!(await greets(port))) await delay(pollMs, undefined, { signal: giveUp })
}

/** NATS greets every connection. */
function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const end = (greeted: boolean) => {
      socket.destroy()
      resolve(greeted)
    }
    socket.once('data', () => end(true))
    socket.once('error', () => end(false))
    socket.once('close', () => end(false))
  })
}
