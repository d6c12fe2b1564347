import {
  startWorker,
  type ConnectOptions,
  type GroupOptions,
  type Log,
  type Worker,
  type WorkerOptions,
} from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { openTestLog } from './test-log.ts'
import { watchedSink, type WatchedSink } from './watched-sink.ts'
import { WorkerEvents } from './worker-events.ts'

// A log of notes, and workers that give it to a watched sink: each file of tests has its own of these.

export let server: OwnRedisServer
/** For looking into the server, and for damaging what is there. */
export let client: Redis
export let log: Log
export let sink: WatchedSink
export let events: WorkerEvents
/** The one that was started last; undefined before `follow`. */
export let worker: Worker | undefined
const workers: Worker[] = []

/** Opens them: one server for all tests of the file, and a log and a sink for each. */
export function openFollowedLog(options: Partial<ConnectOptions> = {}): void {
  beforeAll(async () => {
    server = await startRedis({ own: true })
    client = new Redis(server.options)
  })
  beforeEach(async () => {
    log = await openTestLog(server.options, options)
    sink = watchedSink()
    events = new WorkerEvents()
  })
  afterEach(async () => {
    for (const one of workers.splice(0)) await one.stop()
    worker = undefined
    await log.close()
  })
  afterAll(async () => {
    client.disconnect()
    await server.stop()
  })
}

/** Starts a worker that runs the sink as the group `copy`. It is stopped behind the test. */
export async function follow(
  group: Partial<GroupOptions> = {},
  options: Partial<WorkerOptions> = {},
): Promise<Worker> {
  worker = await startWorker(log, { groups: { copy: { sink, ...group } }, onEvent: events.note, ...options })
  workers.push(worker)
  return worker
}
