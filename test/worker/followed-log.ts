import {
  startWorker,
  type ConnectOptions,
  type GroupOptions,
  type Worker,
  type WorkerOptions,
} from '@headwater/core'
import { afterEach, beforeEach } from 'vitest'
import { log, openOwnLog } from './own-log.ts'
import { watchedSink, type WatchedSink } from './watched-sink.ts'
import { WorkerEvents } from './worker-events.ts'

// A log of notes, and workers that give it to a watched sink: each file of tests has its own of these.

export { client, log, server } from './own-log.ts'
export let sink: WatchedSink
export let events: WorkerEvents
/** The one that was started last; undefined before `follow`. */
export let worker: Worker | undefined
const workers: Worker[] = []

/** Opens them: one server for all tests of the file, and a log and a sink for each. */
export function openFollowedLog(options: Partial<ConnectOptions> = {}): void {
  openOwnLog(options)
  beforeEach(() => {
    sink = watchedSink()
    events = new WorkerEvents()
  })
  afterEach(async () => {
    for (const one of workers.splice(0)) await one.stop()
    worker = undefined
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
