// Archives a log in a process of its own, and kills itself at a given point of writing.
import { notes } from '@headwater/conformance'
import { archive, connect, directoryArchive, type ArchiveStore } from '@headwater/core'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RedisOptions } from 'ioredis'

export interface ArchiverProcessOptions {
  readonly log: RedisOptions
  readonly namespace: string
  readonly directory: string
  /** At which write, from 1, and when. */
  readonly write: number
  readonly when: 'during' | 'after'
}

const { log: target, namespace, directory, ...death } = JSON.parse(process.argv[2]!) as ArchiverProcessOptions
const whole = directoryArchive(directory)
let writes = 0
const deadly: ArchiveStore = {
  ...whole,
  async write(path, piece) {
    writes++
    if (writes === death.write && death.when === 'during') {
      // A first write has made the folder.
      writeFileSync(join(directory, `${path}.half.unfinished`), piece.subarray(0, piece.length >> 1))
      process.kill(process.pid, 'SIGKILL')
    }
    await whole.write(path, piece)
    if (writes === death.write) process.kill(process.pid, 'SIGKILL')
  },
}
const log = await connect(target, { namespace, collections: [notes] })
await archive(log, deadly, { segmentSize: 2_000 })
process.exit(0)
