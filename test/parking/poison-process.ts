// A worker in a process of its own whose sink takes notes, and dies of one that says `poison`, before or after it has taken it.
import { notes, type Note } from '@headwater/conformance'
import { connect, startWorker, type Sink } from '@headwater/core'
import { redisSink } from '@headwater/redis'
import { Redis, type RedisOptions } from 'ioredis'
import { intercepted } from '../support/intercepted-sink.ts'

export interface PoisonProcessOptions {
  readonly log: RedisOptions
  readonly namespace: string
  readonly group: string
  readonly prefix: string
  readonly leaseMs: number
}

const options = JSON.parse(process.argv[2]!) as PoisonProcessOptions

process.on('disconnect', () => process.exit(1))
const log = await connect(options.log, { namespace: options.namespace, collections: [notes] })
await startWorker(log, {
  groups: { [options.group]: { sink: mortal(new Redis(options.log)), coalesce: false } },
  leaseMs: options.leaseMs,
  onEvent: ({ kind }) => process.send?.(kind),
})

function mortal(client: Redis): Sink<Note> {
  const { prefix } = options
  const sink = redisSink({ client, collection: notes, key: `${prefix}:{key}`, prefix: `${prefix}:own` })
  return intercepted(
    sink,
    async (changes, pass) => {
      const poisoned = changes.some(({ value }) => (value as Note).content === 'poison')
      if (poisoned) process.kill(process.pid, 'SIGKILL')
      return await pass(changes)
    },
    { snapshot: false },
  )
}
