import { notes } from '@headwater/conformance'
import {
  HeadwaterError,
  isHeadwaterError,
  startWorker,
  type Outcome,
  type WorkerEvent,
} from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { log, openOwnLog } from '../worker/own-log.ts'
import { drained } from '../worker/test-log.ts'
import { watchedSink } from '../worker/watched-sink.ts'

const group = 'copy'
const secret = 'geheim'

openOwnLog()

const doThrow = (what: unknown) => (): never => {
  throw what
}
const unspeakable = {
  get message() {
    throw new Error('no message')
  },
  toString() {
    throw new Error('no text')
  },
}
const nested = new Error('outer', { cause: new Error('inner', { cause: unspeakable }) })

describe('a sink that misbehaves for a while loses nothing, and nobody ends: it', () => {
  it.each<[string, () => unknown]>([
    ['answers nothing', () => null],
    ['answers with a word', () => 'ok'],
    ['answers with a number', () => 1],
    ['answers with an empty list', () => []],
    ['answers with too many outcomes', () => [{ kind: 'applied' }, { kind: 'applied' }]],
    ['answers with an outcome that is none', () => [{ kind: '__proto__' }]],
    ['answers with holes', () => new Array<unknown>(1)],
    ['answers with null', () => [null]],
    ['rejects without an error', () => [{ kind: 'reject' }]],
    ['rejects with an error of another kind', () => [{ kind: 'reject', error: new Error('x') }]],
    [
      'says that events are missing, which it does not take',
      () => [{ kind: 'gap', error: new HeadwaterError('SINK_GAP', 'x') }],
    ],
    ['throws nothing', doThrow(undefined)],
    ['throws null', doThrow(null)],
    ['throws a text', doThrow('no')],
    ['throws a symbol', doThrow(Symbol('no'))],
    ['throws an object without a prototype', doThrow(Object.create(null))],
    ['throws what cannot be told', doThrow(unspeakable)],
    ['throws a chain of causes', doThrow(nested)],
    ['throws a megabyte', doThrow(new Error('x'.repeat(1_000_000)))],
    ['rejects later', () => Promise.reject(new TypeError('x'))],
    ['throws an error of ours that it should not know', doThrow(new HeadwaterError('LOG_DAMAGED', 'x'))],
    ['throws as if it were closed', doThrow(new HeadwaterError('CLOSED', 'x'))],
    ['breaks its contract', doThrow(new HeadwaterError('SINK_CONTRACT', 'x'))],
  ])('%s', async (_, misbehave) => {
    const sink = watchedSink()
    const events: WorkerEvent[] = []
    let times = 2
    sink.answer = () => (times-- > 0 ? (misbehave() as readonly Outcome[]) : undefined)
    const worker = await startWorker(log, {
      groups: { [group]: sink },
      retry: { firstMs: 1, maxMs: 10 },
      onEvent: (event) => void events.push(event),
    })
    try {
      await log.append(notes.put({ id: 'lamp', content: 1 }))
      await drained(log, group)
      expect(sink.entries().get('lamp')).toEqual({ id: 'lamp', content: 1 })
      expect(worker.health().live).toBe(true)
      const errors = events.flatMap((event) => ('error' in event ? [event.error] : []))
      // Whatever a sink does, Redis is not to blame.
      expect(errors.map(({ code }) => code)).not.toContain('REDIS_REFUSED')
      expect(errors.filter((error) => !isHeadwaterError(error) || error.message.length > 1_200)).toEqual([])
    } finally {
      await worker.stop()
    }
  })
})

describe('what a sink throws', () => {
  it('is not logged, for it may quote a secret or a value', async () => {
    const sink = watchedSink()
    const lines: string[] = []
    const line = (facts: object, message: string): void =>
      void lines.push(`${JSON.stringify(facts)} ${message}`)
    let times = 3
    sink.answer = () => {
      if (times-- > 0) throw new Error(`connect postgres://anna:${secret}@db failed for {"card":"${secret}"}`)
      return undefined
    }
    const worker = await startWorker(log, {
      groups: { [group]: sink },
      retry: { firstMs: 1, maxMs: 10 },
      logger: { info: line, warn: line, error: line },
    })
    await log.append(notes.put({ id: 'lamp', content: 1 }))
    await drained(log, group)
    await worker.stop()
    expect(lines.join('\n')).toContain('SINK_UNAVAILABLE')
    expect(lines.join('\n')).not.toContain(secret)
  })

  it('may be parked with a reason that is cut, and shown as it is', async () => {
    const sink = watchedSink()
    const reason = `\u001b[31m</script>\u202e${'x'.repeat(100_000)}`
    sink.answer = () => [{ kind: 'reject', error: new HeadwaterError('SINK_REJECTED', reason) }]
    const worker = await startWorker(log, { groups: { [group]: sink } })
    await log.append(notes.put({ id: 'lamp', content: 1 }))
    await drained(log, group)
    await worker.stop()
    const [parked] = await log.parking(group).list()
    expect(parked!.message.startsWith('\u001b[31m</script>')).toBe(true)
    expect(parked!.message.length).toBeLessThanOrEqual(1_000)
  })
})
