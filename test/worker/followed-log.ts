import { startWorker, type GroupOptions, type Log, type Worker, type WorkerOptions } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { openTestLog } from './test-log.ts'
import { watchedSink, type WatchedSink } from './watched-sink.ts'
import { WorkerEvents } from './worker-events.ts'

// A log of notes, and a worker that gives it to a watched sink: each file of tests has its own of these.

export let server: OwnRedisServer
/** For looking into the server, and for damaging what is there. */
export let client: Redis
export let log: Log
export let sink: WatchedSink
export let events: WorkerEvents
/** Undefined before `follow`. */
export let worker: Worker | undefined

/** Opens them: one server for all tests of the file, and a log and a sink for each. */
export function openFollowedLog(): void {
  beforeAll(async () => {
    server = await startRedis({ own: true })
    client = new Redis(server.options)
  })
  beforeEach(async () => {
    log = await openTestLog(server.options)
    sink = watchedSink()
    events = new WorkerEvents()
  })
  afterEach(async () => {
    await worker?.stop()
    worker = undefined
    await log.close()
  })
  afterAll(async () => {
    client.disconnect()
    await server.stop()
  })
}

/** Starts the worker of the test, which runs the sink as the group `copy`. */
export async function follow(
  group: Partial<GroupOptions> = {},
  options: Partial<WorkerOptions> = {},
): Promise<void> {
  worker = await startWorker(log, { groups: { copy: { sink, ...group } }, onEvent: events.note, ...options })
}
