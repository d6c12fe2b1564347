import { notes, type Note } from '@headwater/conformance'
import {
  connect,
  HeadwaterError,
  startWorker,
  type AppendResult,
  type Log,
  type Worker,
} from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ChildWorker } from '../support/child-worker.ts'
import { eventually } from '../support/eventually.ts'
import { appendEach, drained, openTestLog } from './test-log.ts'
import { watchedSink, type WatchedSink } from './watched-sink.ts'

const group = 'copy'
let server: OwnRedisServer
let log: Log
/** As another process sees the log. */
let elsewhere: Log
let sink: WatchedSink
let worker: Worker | undefined

beforeEach(async () => {
  server = await startRedis({ own: true })
  log = await openTestLog(server.options)
  elsewhere = await connect(server.options, { namespace: log.namespace, collections: [notes] })
  sink = watchedSink()
})

afterEach(async () => {
  await worker?.stop()
  worker = undefined
  await elsewhere.close()
  await log.close()
  await server.stop()
})

async function start(): Promise<void> {
  worker = await startWorker(log, { groups: { [group]: sink }, leaseMs: 600, drainMs: 100 })
}

/** Holds back every answer of the sink until it is called. */
function holdBack(): () => void {
  let open!: () => void
  const gate = new Promise<void>((resolve) => (open = resolve))
  sink.answer = async () => {
    await gate
    return undefined
  }
  return open
}

const answersTo = (results: readonly AppendResult[]) =>
  Promise.all(results.map(({ position }) => elsewhere.whenApplied(position, { group })))

describe('waiting until a change is applied', () => {
  it('waits for the sink, and not only for the log', async () => {
    const release = holdBack()
    await start()
    const [result] = await appendEach(log, [1])
    let answered = false
    const waiting = elsewhere.whenApplied(result!.position, { group }).then((answer) => {
      answered = true
      return answer
    })
    await eventually(() => expect(sink.calls).toHaveLength(1))
    expect(answered).toBe(false)
    release()
    expect(await waiting).toBe('applied')
    expect(sink.entries().get('lamp')).toEqual({ id: 'lamp', content: 1 })
  })

  it('answers at once for what is applied already', async () => {
    await start()
    const [result] = await appendEach(log, [1])
    await drained(log, group)
    await worker!.stop()
    expect(await elsewhere.whenApplied(result!.position, { group, timeoutMs: 1_000 })).toBe('applied')
  })

  it('tells what was superseded from what the sink holds', async () => {
    await start()
    const results = [
      ...(await appendEach(log, [1, 2, 3])),
      await log.append(notes.put({ id: 'chair', content: 1 })),
      await log.append(notes.delete('chair')),
    ]
    await drained(log, group)
    expect(await answersTo(results)).toEqual(['superseded', 'superseded', 'applied', 'superseded', 'applied'])
  })

  it('says of a change that was set aside, and of those behind it, that they are parked', async () => {
    sink.answer = ({ changes }) => {
      if (!changes.some(({ value }) => (value as Note).content === 2)) return undefined
      throw new HeadwaterError('SINK_REJECTED', 'It cannot hold this.')
    }
    await start()
    const [first] = await appendEach(log, [1])
    await drained(log, group)
    const [second] = await appendEach(log, [2])
    await drained(log, group)
    const [third] = await appendEach(log, [3])
    const other = await log.append(notes.put({ id: 'chair', content: 1 }))
    expect(await answersTo([second!, third!, other])).toEqual(['parked', 'parked', 'applied'])
    expect(await answersTo([first!])).not.toEqual(['parked'])
  })

  it('says that it is lost when the log has lost it, before and after history goes on', async () => {
    await start()
    const [kept] = await appendEach(log, [1])
    await drained(log, group)
    const client = new Redis(server.options)
    await client.save()
    client.disconnect()
    const [lost] = await appendEach(log, [2])
    await drained(log, group)
    await worker!.stop()
    await server.kill('SIGKILL')
    await server.restart()
    expect(await answersTo([kept!, lost!])).toEqual(['applied', 'lost'])
    const [next] = await appendEach(log, [3])
    await start()
    expect(await answersTo([lost!, next!])).toEqual(['lost', 'applied'])
  })

  it('gives up in time, and says how far behind the group is', async () => {
    await start()
    await worker!.stop()
    const [, , third] = await appendEach(log, [1, 2, 3])
    const startedAt = performance.now()
    const waiting = elsewhere.whenApplied(third!.position, { group, timeoutMs: 300 })
    await expect(waiting).rejects.toMatchObject({
      code: 'WAIT_TIMEOUT',
      retryable: true,
      message: expect.stringContaining('3 changes behind') as string,
    })
    expect(performance.now() - startedAt).toBeLessThan(1_500)
  })

  it('refuses a group that nobody registered, and a position of nowhere', async () => {
    const [result] = await appendEach(log, [1])
    await expect(log.whenApplied(result!.position, { group: 'other' })).rejects.toMatchObject({
      code: 'GROUP_UNKNOWN',
    })
    await start()
    const nowhere = '7:1-1' as typeof result extends undefined ? never : AppendResult['position']
    await expect(log.whenApplied(nowhere, { group })).rejects.toMatchObject({ code: 'POSITION_INVALID' })
  })

  it('ends when its signal aborts, and when the log is closed', async () => {
    await start()
    await worker!.stop()
    const [result] = await appendEach(log, [1])
    const leaving = new AbortController()
    const aborted = elsewhere.whenApplied(result!.position, { group, signal: leaving.signal })
    const left = elsewhere.whenApplied(result!.position, { group })
    const settled = Promise.allSettled([aborted, left])
    leaving.abort(new Error('The user has left.'))
    await elsewhere.close()
    expect(await settled).toMatchObject([
      { status: 'rejected', reason: { message: 'The user has left.' } },
      { status: 'rejected', reason: { code: 'CLOSED' } },
    ])
  })

  it('goes on over a restart of the server in between', async () => {
    const release = holdBack()
    await start()
    const client = new Redis(server.options)
    const [result] = await appendEach(log, [1])
    await eventually(() => expect(sink.calls).toHaveLength(1))
    await client.save()
    client.disconnect()
    const waiting = elsewhere.whenApplied(result!.position, { group, timeoutMs: 20_000 })
    await server.kill('SIGKILL')
    await server.restart()
    release()
    expect(await waiting).toBe('applied')
  })

  it('answers a thousand who wait with few questions to Redis', async () => {
    const client = new Redis(server.options)
    const release = holdBack()
    await start()
    const results = await Promise.all(
      Array.from({ length: 1_000 }, (_, at) => log.append(notes.put({ id: `note-${at}`, content: at }))),
    )
    const questions = async (): Promise<number> => {
      const statistics = await client.info('commandstats')
      return Number(/^cmdstat_hgetall:calls=(\d+)/m.exec(statistics)?.[1] ?? 0)
    }
    const before = await questions()
    const startedAt = performance.now()
    const waiting = answersTo(results)
    await eventually(async () => expect(await questions()).toBeGreaterThan(before + 20))
    const perSecond = ((await questions()) - before) / ((performance.now() - startedAt) / 1_000)
    // Each of them alone would ask 25 times a second.
    expect(perSecond).toBeLessThan(1_000)
    release()
    expect(new Set(await waiting)).toEqual(new Set(['applied']))
    client.disconnect()
  })

  it('works from another process than the worker', async () => {
    await using child = await ChildWorker.start({
      log: server.options,
      namespace: log.namespace,
      groups: { [group]: { kind: 'redis', target: server.options, prefix: 'copy' } },
      leaseMs: 2_000,
    })
    const results = await appendEach(log, [1, 2, 3], (content) => `note-${content}`)
    expect(await answersTo(results)).toEqual(['applied', 'applied', 'applied'])
    await child.kill('SIGTERM')
    expect(child.exitCode).toBe(0)
    expect(child.complaints).toBe('')
  })
})
