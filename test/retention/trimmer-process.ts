// Trims a log in a process of its own, and kills itself at a given step.
import { connect, trim } from '@headwater/core'
import type { RedisOptions } from 'ioredis'

export interface TrimmerProcessOptions {
  readonly log: RedisOptions
  readonly namespace: string
  /** After which step, from 1. */
  readonly step: number
}

const { log: target, namespace, step } = JSON.parse(process.argv[2]!) as TrimmerProcessOptions
const log = await connect(target, { namespace, create: false })
let steps = 0
await trim(log, {
  onProgress: () => {
    steps++
    if (steps === step) process.kill(process.pid, 'SIGKILL')
  },
})
process.exit(0)
