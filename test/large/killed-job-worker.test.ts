import type { ChangeJob } from '@headwater/bullmq'
import { notes, type Note } from '@headwater/conformance'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ChildWorker } from '../support/child-worker.ts'
import { eventually } from '../support/eventually.ts'
import { drained, openTestLog } from '../worker/test-log.ts'

const keys = 200
const changes = 4_000

let server: OwnRedisServer
beforeAll(async () => {
  server = await startRedis({ own: true })
})
afterAll(async () => {
  await server.stop()
})

it('every change is one job, in the order of its key, when its worker is killed and jobs are done and removed', async () => {
  await using log = await openTestLog(server.options, { partitions: 2 })
  const done: ChangeJob<Note>[] = []
  const connection = new Redis({ ...server.options, maxRetriesPerRequest: null })
  const doer = new Worker<ChangeJob<Note>>('changes', async ({ data }) => void done.push(data), {
    connection,
  })
  const options = {
    log: server.options,
    namespace: log.namespace,
    groups: { jobs: { kind: 'bullmq', target: server.options, queue: 'changes' } },
    leaseMs: 500,
  } as const
  {
    await using victim = await ChildWorker.start(options)
    const appended = Promise.all(
      Array.from({ length: changes }, (_, at) => log.append(notes.put({ id: `${at % keys}`, content: at }))),
    )
    await eventually(() => expect(done.length).toBeGreaterThan(100), { everyMs: 1 })
    await victim.kill('SIGKILL')
    await appended
  }
  await using last = await ChildWorker.start(options)
  await drained(log, 'jobs', 30_000)
  expect(last.complaints).toBe('')
  await eventually(() => expect(done.length).toBeGreaterThanOrEqual(changes), { timeoutMs: 20_000 })
  await doer.close()
  connection.disconnect()

  expect(new Set(done.map(({ position }) => position)).size).toBe(changes)
  expect(done).toHaveLength(changes)
  for (let key = 0; key < keys; key++) {
    const versions = done.filter((job) => job.key === `${key}`).map(({ version }) => Number(version))
    expect(versions).toEqual(versions.map((_, at) => at + 1))
  }
})
