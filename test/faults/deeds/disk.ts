import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import type { OwnRedisServer } from '@headwater/local-servers'
import { hold, type Deeds } from './deed.ts'

export const diskDeeds: Deeds = {
  // Played by a limit of what one file may hold: a real full disk would be everybody's.
  'fill the disk': {
    on: ['single'],
    async run({ deployment }, random) {
      const [server] = deployment.servers as [OwnRedisServer]
      const { size } = statSync(appendOnlyFile(server))
      limitFiles(server, String(size + random.between(1, 5_000)))
      try {
        await hold(random, 500, 2_000)
      } finally {
        limitFiles(server, 'unlimited')
      }
    },
  },
  'cut the tail off the append-only file': {
    on: ['single'],
    loses: true,
    async run({ deployment }, random) {
      const [server] = deployment.servers as [OwnRedisServer]
      await server.kill('SIGKILL')
      const file = appendOnlyFile(server)
      truncateSync(file, Math.max(0, statSync(file).size - random.between(1, 2_000)))
      // As docs/guarantees.md asks for: else half a transaction would be executed when the server is started once more.
      fixAppendOnlyFile(file)
      deployment.roll.died(0)
    },
  },
}

function limitFiles({ pid }: OwnRedisServer, bytes: string): void {
  execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`])
}

/** As `redis-check-aof --fix` does: what is left ends with a whole command, and a whole transaction. */
function fixAppendOnlyFile(file: string): void {
  const bytes = readFileSync(file)
  let [whole, at, inTransaction] = [0, 0, false]
  const line = (): number => {
    const end = bytes.indexOf('\r\n', at)
    if (end === -1) return Number.NaN
    const number = Number(bytes.toString('latin1', at + 1, end))
    at = end + 2
    return number
  }
  while (at < bytes.length) {
    const words: string[] = []
    for (let left = line(); left > 0; left--) {
      const length = line()
      words.push(bytes.toString('latin1', at, at + length))
      at += length + 2
    }
    if (!(at <= bytes.length)) break
    if (words[0] === 'MULTI') inTransaction = true
    if (words[0] === 'EXEC') inTransaction = false
    if (!inTransaction) whole = at
  }
  truncateSync(file, whole)
}

/** The one that grows. */
function appendOnlyFile({ dir }: OwnRedisServer): string {
  const folder = join(dir, 'appendonlydir')
  const files = readdirSync(folder).filter((name) => name.endsWith('.incr.aof'))
  return join(folder, files.toSorted((a, b) => numberOf(b) - numberOf(a))[0]!)
}

function numberOf(name: string): number {
  return Number(/\.(\d+)\.incr\.aof$/.exec(name)?.[1])
}
