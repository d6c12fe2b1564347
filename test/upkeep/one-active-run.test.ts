import { memorySink, startWorker } from '@headwater/core'
import { notes } from '@headwater/conformance'
import { upkeepQueueName } from '@headwater/upkeep'
import { Queue } from 'bullmq'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, log, openOwnLog, server } from '../worker/own-log.ts'
import { drained } from '../worker/test-log.ts'
import { activeAtMost, marksOf, openGate } from './gated-sink.ts'
import { UpkeepChild } from './upkeep-child.ts'

const takeOverMs = 2_000
let queue: Queue

openOwnLog()

beforeEach(async () => {
  const worker = await startWorker(log, { groups: { copy: memorySink({ collection: notes }) } })
  await drained(log, 'copy')
  await worker.stop()
  queue = new Queue(upkeepQueueName(log.namespace, 'verify'), { connection: client })
})
afterEach(async () => {
  await queue.close()
})

async function pair(): Promise<Record<'a' | 'b', UpkeepChild> & AsyncDisposable> {
  const options = { redis: server.options, namespace: log.namespace, takeOverMs }
  const [a, b] = await Promise.all(['a', 'b'].map((name) => UpkeepChild.start({ ...options, name })))
  return {
    a: a!,
    b: b!,
    async [Symbol.asyncDispose]() {
      await Promise.all([a![Symbol.asyncDispose](), b![Symbol.asyncDispose]()])
    },
  }
}
const marks = () => marksOf(client, log.namespace)
const begun = (runs: number) =>
  eventually(
    async () => {
      const begins = (await marks()).filter(({ what }) => what === 'begins')
      expect(begins).toHaveLength(runs)
      return begins.at(-1)!.process
    },
    { timeoutMs: 20_000 },
  )
const completed = () =>
  eventually(async () => {
    const [job] = await queue.getJobs('completed')
    expect(job).toBeDefined()
    return job!
  })

describe('two processes with the same upkeep', () => {
  it('have one schedule and one active run', async () => {
    await using children = await pair()
    await begun(1)
    await eventually(async () => expect(await queue.getWorkersCount()).toBe(2))
    // The next run is due, and has to wait.
    await queue.add('verify copy', { group: 'copy' })
    await eventually(async () => expect(await queue.getActiveCount()).toBe(1))
    expect(await queue.getJobSchedulersCount()).toBe(1)
    await openGate(client, log.namespace)
    await eventually(async () => expect(await queue.getCompletedCount()).toBe(2))
    expect(activeAtMost(await marks())).toBe(1)
    expect(await queue.getFailedCount()).toBe(0)
    expect(children.a.complaints + children.b.complaints).toBe('')
  })

  it('have the run of the one that is killed taken up by the other', async () => {
    await using children = await pair()
    const first = (await begun(1)) as 'a' | 'b'
    await eventually(async () => expect(await queue.getWorkersCount()).toBe(2))
    await children[first].kill('SIGKILL')
    expect(await begun(2)).not.toBe(first)
    await openGate(client, log.namespace)
    const job = await completed()
    expect(job.stalledCounter).toBe(1)
    expect(job.returnvalue).toMatchObject({ group: 'copy', result: 'equal' })
    expect(await queue.getDelayedCount()).toBe(1)
  })

  it('have the run of the one that sleeps taken up by the other, and the sleeper leaves it alone', async () => {
    await using children = await pair()
    const first = (await begun(1)) as 'a' | 'b'
    await eventually(async () => expect(await queue.getWorkersCount()).toBe(2))
    await children[first].kill('SIGSTOP')
    expect(await begun(2)).not.toBe(first)
    await children[first].kill('SIGCONT')
    await eventually(async () => {
      expect((await marks()).filter(({ what }) => what === 'ends')).toMatchObject([{ process: first }])
    })
    await openGate(client, log.namespace)
    await completed()
    expect(await queue.getFailedCount()).toBe(0)
    expect((await marks()).filter(({ what }) => what === 'begins')).toHaveLength(2)
  })

  it('hand the run over when the one that has it is stopped, without counting it as an attempt', async () => {
    await using children = await pair()
    const first = (await begun(1)) as 'a' | 'b'
    await eventually(async () => expect(await queue.getWorkersCount()).toBe(2))
    await children[first].kill('SIGTERM')
    expect(children[first].exitCode).toBe(0)
    expect(await begun(2)).not.toBe(first)
    await openGate(client, log.namespace)
    const job = await completed()
    expect([job.stalledCounter, job.attemptsMade]).toEqual([0, 1])
    expect(activeAtMost(await marks())).toBe(1)
    expect(children.a.complaints + children.b.complaints).toBe('')
  })
})
