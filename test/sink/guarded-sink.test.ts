import { aBook, books, changeBuilder, notes } from '@headwater/conformance'
import {
  applied,
  guardSink,
  HeadwaterError,
  isHeadwaterError,
  memorySink,
  reject,
  retry,
  stale,
  type Change,
  type GuardOptions,
  type Outcome,
  type Sink,
  type SinkPartition,
} from '@headwater/core'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { pending, ScriptedSink } from './scripted-sink.ts'

const position = { epoch: 1, sequence: 7, branch: 'a' }
const place = {
  lineage: 'log-1',
  group: 'copy',
  partition: 0,
  fence: { epoch: 1, token: 1, owner: 'worker' },
}

function open(sink: Sink, options?: GuardOptions): Promise<SinkPartition> {
  return guardSink(sink, options).open(place)
}

function apply(partition: SinkPartition, changes: readonly Change[], signal = new AbortController().signal) {
  return partition.apply(changes, position, { signal })
}

async function kinds(outcomes: Promise<readonly Outcome[]>): Promise<Outcome['kind'][]> {
  return (await outcomes).map(({ kind }) => kind)
}

async function gone(): Promise<never> {
  throw new Error('gone')
}

function keepsContract(result: PromiseSettledResult<readonly Outcome[]>, count: number): boolean {
  if (result.status === 'rejected') {
    return isHeadwaterError(result.reason, 'SINK_FENCED') || isHeadwaterError(result.reason, 'SINK_CONTRACT')
  }
  return result.value.length === count && result.value.every(isOutcome)
}

function isOutcome(outcome: Outcome): boolean {
  return 'error' in outcome
    ? ['retry', 'reject'].includes(outcome.kind) && isHeadwaterError(outcome.error)
    : ['applied', 'stale'].includes(outcome.kind)
}

function puts(...keys: string[]): Change[] {
  const log = changeBuilder({ collection: books })
  return keys.map((key) => log.put(aBook(key)))
}

describe('a guarded sink given a batch', () => {
  it.each([
    ['without changes', [], 'no changes'],
    ['with two changes of one key', puts('a', 'b', 'a'), 'two changes of "a"'],
    ['of another collection', [changeBuilder({ collection: notes }).put({ id: 'a', content: 1 })], '"notes"'],
    [
      'of another partition',
      [changeBuilder({ collection: books, partition: 3 }).put(aBook('a'))],
      'a change of partition 3',
    ],
  ])('%s refuses it', async (_what, changes, message) => {
    const sink = new ScriptedSink()
    await expect(apply(await open(sink), changes)).rejects.toMatchObject({
      code: 'SINK_CONTRACT',
      message: expect.stringContaining(message) as string,
    })
    expect(sink.batches).toEqual([])
  })

  it('passes it on with its position, and gives back the outcomes', async () => {
    const sink = new ScriptedSink()
    sink.answers.push(() => [applied, stale])
    expect(await apply(await open(sink), puts('a', 'b'))).toEqual([applied, stale])
    expect(sink.batches).toEqual([['a', 'b']])
    expect(sink.positions).toEqual([position])
  })

  it('cuts it where it has more changes than the sink declares', async () => {
    const sink = new ScriptedSink({ batch: { changes: 2, bytes: 1_048_576 } })
    await apply(await open(sink), puts('a', 'b', 'c', 'd', 'e'))
    expect(sink.batches).toEqual([['a', 'b'], ['c', 'd'], ['e']])
    expect(sink.positions).toEqual([position, position, position])
  })

  it('cuts it where it has more bytes than the sink declares, and sends what is larger alone', async () => {
    const log = changeBuilder({ collection: books })
    const sizes = { a: 400, b: 400, c: 3_000, d: 400, e: 400, f: 400 }
    const changes = Object.entries(sizes).map(([key, size]) =>
      log.put(aBook(key, { title: 'ö'.repeat(size / 2) })),
    )
    const sink = new ScriptedSink({ batch: { changes: 100, bytes: 1_500 } })
    await apply(await open(sink), changes)
    expect(sink.batches).toEqual([['a', 'b'], ['c'], ['d', 'e'], ['f']])
  })
})

describe('a guarded sink whose adapter fails', () => {
  it('asks to try all of it again, with the cause', async () => {
    const sink = new ScriptedSink()
    const cause = new Error('connect ECONNREFUSED')
    sink.answers.push(() => {
      throw cause
    })
    const outcomes = await apply(await open(sink), puts('a', 'b'))
    expect(outcomes.map(({ kind }) => kind)).toEqual(['retry', 'retry'])
    expect(outcomes[0]).toMatchObject({ error: { code: 'SINK_UNAVAILABLE', cause, retryable: true } })
  })

  it('keeps an error that has a code already', async () => {
    const sink = new ScriptedSink()
    const error = new HeadwaterError('SINK_MISCONFIGURED', 'The column "title" is gone.')
    sink.answers.push(() => Promise.reject(error))
    expect(await apply(await open(sink), puts('a'))).toEqual([retry(error)])
  })

  it('keeps the outcomes of the parts before, and does not send the parts behind', async () => {
    const sink = new ScriptedSink({ batch: { changes: 1, bytes: 1_048_576 } })
    sink.answers.push(
      () => [applied],
      () => Promise.reject(new Error('gone')),
    )
    const outcomes = apply(await open(sink), puts('a', 'b', 'c', 'd'))
    expect(await kinds(outcomes)).toEqual(['applied', 'retry', 'retry', 'retry'])
    expect(sink.batches).toEqual([['a'], ['b']])
  })

  it('passes on that the partition is lost', async () => {
    const sink = new ScriptedSink()
    sink.answers.push(() => Promise.reject(new HeadwaterError('SINK_FENCED', 'Too late.')))
    await expect(apply(await open(sink), puts('a', 'b'))).rejects.toMatchObject({ code: 'SINK_FENCED' })
  })

  it('halves a batch that is rejected, until the culprit stands alone', async () => {
    const sink = new ScriptedSink()
    const error = new HeadwaterError('SINK_REJECTED', 'The title is too long.')
    for (let calls = 0; calls < 7; calls++) {
      sink.answers.push((changes) => {
        if (changes.some(({ key }) => key === 'c')) throw error
        return changes.map(() => applied)
      })
    }
    const outcomes = await apply(await open(sink), puts('a', 'b', 'c', 'd', 'e'))
    expect(outcomes).toEqual([applied, applied, reject(error), applied, applied])
    expect(sink.batches).toEqual([['a', 'b', 'c', 'd', 'e'], ['a', 'b', 'c'], ['a', 'b'], ['c'], ['d', 'e']])
  })

  it('gives errors of open, advance and prepare a code too', async () => {
    const sink = new ScriptedSink()
    sink.advancing = gone
    await expect((await open(sink)).advance(position)).rejects.toMatchObject({ code: 'SINK_UNAVAILABLE' })
    sink.opening = gone
    await expect(open(sink)).rejects.toMatchObject({ code: 'SINK_UNAVAILABLE' })
    const unprepared = guardSink(Object.assign(new ScriptedSink(), { prepare: gone }))
    await expect(unprepared.prepare?.()).rejects.toMatchObject({ code: 'SINK_UNAVAILABLE' })
  })

  it('rejects each change that the sink cannot hold and applies all others, wherever they stand', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 200, max: 3_000 }),
        async (poisoned, changesMax, bytesMax) => {
          const memory = memorySink({ collection: books, batch: { changes: changesMax, bytes: bytesMax } })
          const changes = puts(...poisoned.map((_poison, index) => `book-${index}`))
          const isPoison = (change: Change) => poisoned[changes.indexOf(change)] ?? false
          const partition = await open({
            ...memory,
            open: async (options) => {
              const opened = await memory.open(options)
              return {
                ...opened,
                apply: async (part, ...rest) => {
                  expect(part.length).toBeLessThanOrEqual(changesMax)
                  if (part.some(isPoison)) throw new HeadwaterError('SINK_REJECTED', 'Poison.')
                  return opened.apply(part, ...rest)
                },
              }
            },
          })
          expect(await kinds(apply(partition, changes))).toEqual(
            poisoned.map((poison) => (poison ? 'reject' : 'applied')),
          )
          const good = changes.filter((change) => !isPoison(change))
          expect([...memory.entries().keys()]).toEqual(good.map(({ key }) => key))
        },
      ),
    )
  })
})

describe('a guarded sink whose adapter breaks the contract', () => {
  it.each([
    ['too few outcomes', () => [applied]],
    ['too many outcomes', () => [applied, applied, applied]],
    ['no list', () => undefined],
    ['an unknown kind', () => [applied, { kind: 'ok' }]],
    ['a hole', () => [applied, undefined]],
    ['retry without an error', () => [applied, { kind: 'retry' }]],
    ['an error without a code', () => [applied, { kind: 'reject', error: new Error('no') }]],
  ])('by answering with %s says so', async (_what, answer) => {
    const sink = new ScriptedSink()
    sink.answers.push(async () => answer() as readonly Outcome[])
    await expect(apply(await open(sink), puts('a', 'b'))).rejects.toMatchObject({ code: 'SINK_CONTRACT' })
  })

  it('by a position that is none says so', async () => {
    const sink = new ScriptedSink()
    sink.position = { epoch: 1, sequence: '9' as unknown as number, branch: 'a' }
    await expect(open(sink)).rejects.toMatchObject({ code: 'SINK_CONTRACT' })
  })

  it('by a capability that it declares and does not have, or has and does not declare, is refused', () => {
    expect(() => guardSink(new ScriptedSink({ list: true }))).toThrow('declares list and has no list()')
    const dishonest = Object.assign(new ScriptedSink(), { read: async () => [] })
    expect(() => guardSink(dishonest)).toThrow('has read() and does not declare it')
  })

  it.each([
    { concurrency: 0 },
    { batch: { changes: 0, bytes: 1 } },
    { batch: { changes: 1, bytes: Number.NaN } },
  ])('by the limits %j is refused', (capabilities) => {
    expect(() => guardSink(new ScriptedSink(capabilities))).toThrow('which must be 1 or more')
  })

  it('by reading fewer values than asked says so', async () => {
    const sink = guardSink(Object.assign(new ScriptedSink({ read: true }), { read: async () => [undefined] }))
    await expect(sink.read?.(['a', 'b'])).rejects.toMatchObject({ code: 'SINK_CONTRACT' })
  })

  it('has one known outcome a change, or an error with a code, whatever the adapter does', async () => {
    const error = new HeadwaterError('SINK_UNAVAILABLE', 'Busy.')
    const behaviours: ((changes: readonly Change[]) => readonly Outcome[])[] = [
      (changes) => changes.map(() => applied),
      (changes) => changes.map(() => stale),
      (changes) => changes.map(() => retry(error)),
      (changes) => changes.map(() => reject(error)),
      (changes) => changes.slice(1).map(() => applied),
      () => [{ kind: 'done' } as unknown as Outcome],
      () => {
        throw new HeadwaterError('SINK_REJECTED', 'Never.')
      },
      () => {
        throw new HeadwaterError('SINK_FENCED', 'Too late.')
      },
      () => {
        throw new TypeError('undefined is not a function')
      },
    ]
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...behaviours), { maxLength: 20 }),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 10 }),
        async (script, count, changesMax) => {
          const sink = new ScriptedSink({ batch: { changes: changesMax, bytes: 1_048_576 } })
          sink.answers.push(...script)
          const changes = puts(...Array.from({ length: count }, (_, index) => `book-${index}`))
          const [settled] = await Promise.allSettled([apply(await open(sink), changes)])
          expect(settled).toSatisfy((result: PromiseSettledResult<readonly Outcome[]>) =>
            keepsContract(result, count),
          )
        },
      ),
    )
  })
})

describe('a guarded sink at its concurrency', () => {
  it('runs as many calls of a partition as declared, and the others in their order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 12 }),
        fc.infiniteStream(fc.nat(3)),
        async (concurrency, count, picks) => {
          const sink = new ScriptedSink({ concurrency })
          const running: ((outcomes: readonly Outcome[]) => void)[] = []
          const keys = Array.from({ length: count }, (_, index) => `book-${index}`)
          for (let call = 0; call < count; call++) {
            sink.answers.push(() => {
              const { promise, resolve } = pending<readonly Outcome[]>()
              running.push(resolve)
              expect(running.length).toBeLessThanOrEqual(concurrency)
              return promise
            })
          }
          const partition = await open(sink)
          const results = keys.map((key) => kinds(apply(partition, puts(key))))
          for (let left = count; left > 0; left--) {
            await eventually(() => expect(running).toHaveLength(Math.min(concurrency, left)), { everyMs: 0 })
            const [finish] = running.splice((picks.next().value ?? 0) % running.length, 1)
            finish?.([applied])
          }
          expect(await Promise.all(results)).toEqual(keys.map(() => ['applied']))
          expect(sink.batches.flat()).toEqual(keys)
        },
      ),
      { numRuns: 30 },
    )
  })
})

describe('a guarded sink whose adapter does not answer', () => {
  it('asks to try again at the deadline, and tells the adapter to stop', async () => {
    const sink = new ScriptedSink()
    let told: unknown
    sink.answers.push((_changes, signal) => {
      signal.addEventListener('abort', () => {
        told = signal.reason
      })
      return new Promise(() => {})
    })
    const outcomes = await apply(await open(sink, { applyTimeoutMs: 5 }), puts('a', 'b'))
    expect(outcomes.map(({ kind }) => kind)).toEqual(['retry', 'retry'])
    expect(outcomes[0]).toMatchObject({ error: { code: 'SINK_UNAVAILABLE' } })
    expect(told).toMatchObject({ code: 'SINK_UNAVAILABLE' })
  })

  it('sends nothing more through that partition until the late call has ended', async () => {
    const sink = new ScriptedSink()
    const late = pending<readonly Outcome[]>()
    sink.answers.push(() => late.promise)
    const partition = await open(sink, { applyTimeoutMs: 5 })
    expect(await kinds(apply(partition, puts('a')))).toEqual(['retry'])
    expect(await kinds(apply(partition, puts('b')))).toEqual(['retry'])
    await expect(partition.advance(position)).rejects.toMatchObject({ code: 'SINK_UNAVAILABLE' })
    expect(sink.batches).toEqual([['a']])
    late.reject(new Error('socket closed'))
    await eventually(async () => expect(await kinds(apply(partition, puts('c')))).toEqual(['applied']))
    expect(sink.batches).toEqual([['a'], ['c']])
  })

  it('serves the partition again when it is opened again', async () => {
    const sink = new ScriptedSink()
    sink.answers.push(() => new Promise(() => {}))
    const guarded = guardSink(sink, { applyTimeoutMs: 5 })
    expect(await kinds(apply(await guarded.open(place), puts('a')))).toEqual(['retry'])
    expect(await kinds(apply(await guarded.open(place), puts('a')))).toEqual(['applied'])
  })

  it('closes a partition that opens after the deadline', async () => {
    const sink = new ScriptedSink()
    const late = pending<void>()
    sink.opening = () => late.promise
    await expect(open(sink, { applyTimeoutMs: 5 })).rejects.toMatchObject({ code: 'SINK_UNAVAILABLE' })
    late.resolve()
    await eventually(() => expect(sink.partitionsClosed).toBe(1))
  })

  it('passes on the signal of its caller', async () => {
    const sink = new ScriptedSink()
    sink.answers.push(
      (_changes, signal) =>
        new Promise((_resolve, fail) => signal.addEventListener('abort', () => fail(signal.reason as Error))),
    )
    const controller = new AbortController()
    const outcomes = apply(await open(sink), puts('a'), controller.signal)
    controller.abort(new Error('The worker stops.'))
    expect(await outcomes).toMatchObject([
      { kind: 'retry', error: { cause: { message: 'The worker stops.' } } },
    ])
  })
})

describe('a guarded sink that is closed', () => {
  it('closes its partitions and the adapter, once', async () => {
    const sink = new ScriptedSink()
    const guarded = guardSink(sink)
    const partition = await guarded.open(place)
    await partition.close()
    await guarded.open({ ...place, partition: 1 })
    await Promise.all([guarded.close(), guarded.close()])
    await partition.close()
    expect([sink.partitionsClosed, sink.closed]).toEqual([2, 1])
  })

  it('lets a running call end, and refuses those that wait for their turn', async () => {
    const sink = new ScriptedSink()
    const { promise, resolve } = pending<readonly Outcome[]>()
    sink.answers.push(() => promise)
    const partition = await open(sink)
    const running = kinds(apply(partition, puts('a')))
    const waiting = apply(partition, puts('b'))
    const closing = partition.close()
    expect(sink.partitionsClosed).toBe(0)
    resolve([applied])
    await expect(waiting).rejects.toMatchObject({ code: 'CLOSED' })
    await closing
    expect(await running).toEqual(['applied'])
    expect(sink.partitionsClosed).toBe(1)
    expect(sink.batches).toEqual([['a']])
  })

  it('refuses every use', async () => {
    const memory = memorySink({ collection: books })
    const sink = guardSink({ ...memory, prepare: async () => {} })
    const partition = await sink.open(place)
    await sink.close()
    const closed = { code: 'CLOSED' }
    await expect(sink.prepare?.()).rejects.toMatchObject(closed)
    await expect(sink.open(place)).rejects.toMatchObject(closed)
    await expect(sink.read?.(['a'])).rejects.toMatchObject(closed)
    await expect(sink.list?.()[Symbol.asyncIterator]().next()).rejects.toMatchObject(closed)
    await expect(apply(partition, puts('a'))).rejects.toMatchObject(closed)
    await expect(partition.advance(position)).rejects.toMatchObject(closed)
  })

  it('does not hand out a partition that opens meanwhile', async () => {
    const sink = new ScriptedSink()
    const { promise, resolve } = pending<void>()
    sink.opening = () => promise
    const guarded = guardSink(sink)
    const opening = guarded.open(place)
    const closing = guarded.close()
    resolve()
    await expect(opening).rejects.toMatchObject({ code: 'CLOSED' })
    await closing
    expect(sink.partitionsClosed).toBe(1)
  })
})
