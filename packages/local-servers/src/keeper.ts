// The program that owns the servers of one starter. It talks with the starter in JSON lines over stdin and stdout;
// when stdin ends, because the starter stopped or was killed, the servers end and their folders go.
import { type ChildProcess, spawn } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { BorrowRequest, KeeperEvent, KeeperRequest, RunRequest } from './keeper-protocol.ts'
import { PROCESS_FILE, processIdentity, removeRemains } from './remains.ts'

const PREFIX = 'headwater-servers-'
const ALIVE_SOCKET = 'keeper.sock'
/** A server that has not ended this long after its end signal is killed. */
const END_GRACE_MS = 3_000
/** A folder without a socket may belong to a keeper that is just starting. */
const STARTING_MS = 60_000

const parentFolder = process.argv[2] ?? '/tmp'
const children = new Map<number, { readonly process: ChildProcess; readonly endSignal: NodeJS.Signals }>()
const borrowed = new Map<string, BorrowRequest>()
let ending = false

const ownFolder = mkdtempSync(join(parentFolder, PREFIX))
// Passable but not listable: as root, Postgres may run as another user. Each server's own folder is closed.
chmodSync(ownFolder, 0o711)
// Whoever answers here is alive: unlike a process id, a socket tells that also across containers.
createServer((socket) => socket.destroy()).listen(join(ownFolder, ALIVE_SOCKET))

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end())
process.stdout.on('error', () => void end())
createInterface({ input: process.stdin })
  .on('line', (line) => handle(JSON.parse(line) as KeeperRequest))
  .on('close', () => void end())
send({ type: 'ready', folder: ownFolder })
// What cannot be removed now is left to the next start: it is no reason to fail here.
await removeFoldersOfDeadKeepers().catch(() => {})

function send(event: KeeperEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

function handle(request: KeeperRequest): void {
  if (ending) return
  try {
    if (request.type === 'run') return run(request)
    perform(request)
    send({ type: 'done', id: request.id })
  } catch (error) {
    send({ type: 'failed', id: request.id, message: (error as Error).message })
  }
}

function perform(request: Exclude<KeeperRequest, RunRequest>): void {
  switch (request.type) {
    case 'signal':
      // Through the ChildProcess, which knows whether its process was reaped: no stranger with the same id is hit.
      children.get(request.pid)?.process.kill(request.signal)
      return
    case 'borrow':
      borrowed.set(request.name, request)
      return
    case 'give back':
      borrowed.delete(request.name)
  }
}

function run({ id, folder, argv: [program, ...args], env, endSignal }: RunRequest): void {
  const log = openSync(join(folder, 'log'), 'a', 0o600)
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  child.on('error', (error) => send({ type: 'failed', id, message: error.message }))
  const { pid } = child
  if (pid === undefined) return
  children.set(pid, { process: child, endSignal })
  const record = join(folder, PROCESS_FILE)
  writeFileSync(record, `${pid}\n${processIdentity(pid) ?? ''}`)
  child.on('exit', (code, signal) => {
    children.delete(pid)
    rmSync(record, { force: true })
    send({ type: 'exit', pid, code, signal })
  })
  send({ type: 'done', id, pid })
}

async function end(): Promise<void> {
  if (ending) return
  ending = true
  const ended = [...children.values()].map(({ process: child, endSignal }) => {
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill(endSignal)
    child.kill('SIGCONT')
    return exited
  })
  const givenBack = [...borrowed.values()].map(giveBack)
  await Promise.race([Promise.allSettled([...ended, ...givenBack]), delay(END_GRACE_MS)])
  await removeRemains(ownFolder).finally(() => process.exit())
}

async function giveBack({ what, url, name }: BorrowRequest): Promise<void> {
  // Loaded only here: few starters work on a server that is not theirs, and the clients take long to load.
  if (what === 'redis keys') await (await import('./given-redis.ts')).deleteKeys(url, name)
  else await (await import('./given-postgres.ts')).dropSchema(url, name)
}

async function removeFoldersOfDeadKeepers(): Promise<void> {
  for (const name of readdirSync(parentFolder)) {
    if (!name.startsWith(PREFIX)) continue
    const folder = join(parentFolder, name)
    if (isOurs(folder) && !(await hasLivingKeeper(folder))) await removeRemains(folder).catch(() => {})
  }
}

function isOurs(folder: string): boolean {
  const stat = lstatSync(folder, { throwIfNoEntry: false })
  return stat !== undefined && stat.isDirectory() && stat.uid === process.getuid?.()
}

function hasLivingKeeper(folder: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(join(folder, ALIVE_SOCKET))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const createdAt = lstatSync(folder, { throwIfNoEntry: false })?.ctimeMs ?? 0
      resolve(error.code !== 'ECONNREFUSED' && Date.now() - createdAt < STARTING_MS)
    })
  })
}
