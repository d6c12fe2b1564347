// A worker in a process of its own, to be killed and stopped: its only argument says what it runs. It tells its parent
// what happens, and ends with it.
import { bullmqSink, type NamedJob } from '@headwater/bullmq'
import { notes, type Note } from '@headwater/conformance'
import { connect, startWorker, type Sink, type WorkerEvent } from '@headwater/core'
import { postgresSink } from '@headwater/postgres'
import { redisSink } from '@headwater/redis'
import { Redis } from 'ioredis'
import { Pool } from 'pg'
import { eventually } from './eventually.ts'
import type { ToldEvent, WorkerProcessOptions, WorkerProcessSink } from './worker-process-options.ts'

const options = JSON.parse(process.argv[2]!) as WorkerProcessOptions

const log = await eventually(
  () =>
    connect(options.log, {
      namespace: options.namespace,
      collections: [notes],
      ...(options.attemptMs !== undefined && { attemptMs: options.attemptMs }),
    }),
  { timeoutMs: 60_000 },
)
const worker = await startWorker(log, {
  groups: Object.fromEntries(
    Object.entries(options.groups).map(([group, sink]) => [
      group,
      { sink: sinkOf(sink), applyTimeoutMs: 1_500 },
    ]),
  ),
  leaseMs: options.leaseMs,
  retry: { firstMs: 10, maxMs: 200 },
  onEvent: (event) => process.send!(told(event)),
})
process.send!({ kind: 'started' })
process.on('SIGTERM', () => void worker.stop())
process.on('disconnect', () => process.exit(1))
await worker.done
await log.close()
process.exit(0)

function sinkOf(sink: WorkerProcessSink): Sink<Note> {
  if (sink.kind === 'postgres') {
    const pool = new Pool({ ...sink.connection, max: 4 })
    // The links of tests break on purpose; the sink meets it in its next statement.
    pool.on('error', () => {})
    return postgresSink({ pool, collection: notes, schema: sink.schema, table: sink.table, timeoutMs: 1_000 })
  }
  // A link that falls silent is given up, as in any client that is meant to last.
  const client = new Redis({
    ...sink.target,
    maxRetriesPerRequest: 0,
    socketTimeout: 1_000,
    retryStrategy: () => 20,
  })
  client.on('error', () => {})
  if (sink.kind === 'bullmq') {
    const { queue } = sink
    return bullmqSink({ client, collection: notes, queue, job: removed, timeoutMs: 1_000 })
  }
  return redisSink({ client, collection: notes, key: `${sink.prefix}:{key}`, prefix: `sink:${sink.prefix}` })
}

/** Jobs of which nothing is left when they are done. */
function removed(): NamedJob {
  return { opts: { removeOnComplete: true } }
}

/** An error loses what it is on the way to another process, unless it is told in words. */
function told(event: WorkerEvent): ToldEvent {
  if (!('error' in event)) return event
  const { code, message } = event.error
  return { ...event, error: { code, message } }
}
