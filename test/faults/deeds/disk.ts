import { execFileSync } from 'node:child_process'
import { statSync, truncateSync } from 'node:fs'
import type { OwnRedisServer } from '@headwater/local-servers'
import { appendOnlyFile } from '../deployment/append-only-file.ts'
import { hold, type Deeds } from './deed.ts'

export const diskDeeds: Deeds = {
  // Played by a limit of what one file may hold: a real full disk would be everybody's. A server that flushes always ends when
  // it cannot write. One that does not goes on, and Redis 7.0 can then leave a file that it refuses to load: docs/guarantees.md.
  'fill the disk': {
    on: ['single'],
    async run({ deployment }, random) {
      const [server] = deployment.servers as [OwnRedisServer]
      const { size } = statSync(appendOnlyFile(server))
      limitFiles(server, size + random.between(1, 5_000))
      await hold(random, 500, 2_000)
      // Where nothing was to be written it still runs.
      await server.kill('SIGKILL')
      deployment.roll.died(0)
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
      deployment.roll.died(0)
    },
  },
}

function limitFiles({ pid }: OwnRedisServer, bytes: number): void {
  execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`])
}
