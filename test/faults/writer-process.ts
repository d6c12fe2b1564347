// A writer in a process of its own, to be killed. It goes on until its standard input ends.
import { notes } from '@headwater/conformance'
import { connect, type ClusterTarget } from '@headwater/core'
import type { RedisOptions } from 'ioredis'
import { eventually } from '../support/eventually.ts'
import { Random } from '../support/random.ts'
import { HistoryFile } from './history-file.ts'
import { Writer } from './writer.ts'

const { target, namespace, name, seed, file, lanes, ...limits } = JSON.parse(process.argv[2]!) as {
  target: RedisOptions | ClusterTarget
  namespace: string
  name: string
  seed: number
  file: string
  lanes: number
  deadlineMs: number
  attemptMs: number
}
const stopping = new AbortController()
process.stdin.resume().on('end', () => stopping.abort())
// A successor may be started while its links are broken.
const log = await eventually(() => connect(target, { namespace, collections: [notes], ...limits }), {
  timeoutMs: 120_000,
})
process.stdout.write('started\n')
await new Writer({
  log,
  name,
  random: new Random(seed),
  history: new HistoryFile(file),
  lanes,
  signal: stopping.signal,
}).run()
await log.close()
