import { randomUUID } from 'node:crypto'
import {
  connect,
  defineCollection,
  fakeLog,
  isHeadwaterError,
  VersionConflictError,
  type AnyCollection,
  type LogForApplications,
  type Version,
} from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { counters, type CounterCommand } from '../decider/counter.ts'
import { givenSeed } from '../support/seed.ts'

const schema = z.object({ id: z.string().min(1), n: z.int(), more: z.string().optional() })
const key = ({ id }: { id: string }): string => id
const things = defineCollection('things', { schema, key })
const marks = defineCollection('marks', { schema, key, state: 'versions' })
const visits = defineCollection('visits', { schema, key, state: 'none' })
const collections = [things, marks, visits, counters]

let server: RedisServer
beforeAll(async () => (server = await startRedis()))
afterAll(() => server.stop())

type Use = (log: LogForApplications) => Promise<unknown>

it('a fake log answers everything as a real one does', async () => {
  const property = fc.asyncProperty(fc.array(use(), { minLength: 1, maxLength: 40 }), async (uses) => {
    const namespace = `${server.namespacePrefix}${randomUUID()}`
    const real = await connect(server.options, { namespace, collections, partitions: 2 })
    const fake = await fakeLog({ namespace, collections, partitions: 2 })
    try {
      for (const [, run] of uses) expect(await answerOf(fake, run)).toEqual(await answerOf(real, run))
    } finally {
      await real.close()
      await fake.close()
    }
  })
  await fc.assert(property, {
    ...(givenSeed !== undefined && { seed: givenSeed }),
    numRuns: 50,
    interruptAfterTimeLimit: 6_000,
  })
}, 60_000)

/** What a call gave or threw, without what two logs cannot share: times and hashes. */
async function answerOf(log: LogForApplications, run: Use): Promise<unknown> {
  try {
    return { gave: await run(log) }
  } catch (error) {
    if (error instanceof VersionConflictError) {
      const { expected, actual, message } = error
      return { conflict: { key: error.key, expected, actual, message } }
    }
    return isHeadwaterError(error) ? { code: error.code } : { threw: String(error) }
  }
}

/** A call, with a text that tells it in a counterexample. */
function use(): fc.Arbitrary<readonly [string, Use]> {
  const id = fc.constantFrom('a', 'b', 'line\nfeed', '')
  const n = fc.oneof({ weight: 9, arbitrary: fc.nat(5) }, { weight: 1, arbitrary: fc.constant(0.5) })
  const collection = fc.constantFrom(things, things, marks, visits)
  const expected = fc.constantFrom<Version | 'any' | 'absent' | 'exists'>(
    'any',
    'any',
    'any',
    'absent',
    'exists',
    '1' as Version,
    '2' as Version,
    '2@2' as Version,
  )
  const options = fc.record(
    {
      expected,
      idempotencyKey: fc.constantFrom('once', 'again'),
      metadata: fc.constantFrom<Record<string, string>>({}, { by: 'me' }),
    },
    { requiredKeys: [] },
  )
  const change = fc
    .tuple(collection, id, n, fc.constantFrom('put', 'put', 'patch', 'delete'))
    .map(([of, key, n, what]) =>
      what === 'put' ? of.put({ id: key, n }) : what === 'patch' ? of.patch(key, { n }) : of.delete(key),
    )
  const command = fc.oneof<fc.Arbitrary<CounterCommand>[]>(
    fc.record({ do: fc.constant('add' as const), n, times: fc.integer({ min: 1, max: 3 }) }),
    fc.constantFrom<CounterCommand>({ do: 'nothing' }, { do: 'invent' }, { do: 'refuse' }),
  )
  const moment = fc.oneof(
    fc.constantFrom('1', '2', '7').map((version) => ({ version: version as Version })),
    fc.constantFrom(0, 9e15).map((time) => ({ time })),
  )
  return fc.oneof(
    {
      weight: 8,
      arbitrary: told(
        fc.tuple(change, options),
        ([of, how]) =>
          (log) =>
            log.append(of, how),
      ),
    },
    {
      weight: 3,
      arbitrary: told(
        fc.tuple(fc.array(change, { maxLength: 4 }), options),
        ([of, how]) =>
          (log) =>
            log.append(of, how),
      ),
    },
    {
      weight: 6,
      arbitrary: told(
        fc.tuple(id, command, fc.record({ idempotencyKey: fc.constant('once') }, { requiredKeys: [] })),
        ([key, what, how]) =>
          (log) =>
            log.decide(counters, key, what, how),
      ),
    },
    told(
      fc.tuple(fc.constantFrom<AnyCollection>(things, marks, counters), id),
      ([of, key]) =>
        (log) =>
          log.get(of, key),
    ),
    told(id, (key) => (log) => log.append(counters.delete(key))),
    told(
      fc.tuple(fc.constantFrom<AnyCollection>(things, visits, counters), id.filter(Boolean), moment),
      ([of, key, at]) =>
        (log) =>
          log.getAt(of, key, at),
    ),
    told(
      fc.tuple(fc.constantFrom<AnyCollection>(things, visits, counters), id),
      ([of, key]) =>
        async (log) => {
          const changes: unknown[] = []
          for await (const { kind, value, version, position, metadata } of log.history(of, key)) {
            changes.push({ kind, value: value as unknown, version, position, metadata })
          }
          return changes
        },
    ),
    told(fc.integer({ min: -1, max: 2 }), (partition) => async (log) => {
      const positions: unknown[] = [await log.end(partition)]
      for await (const change of log.read(partition)) positions.push(change.position, change.payload)
      return positions
    }),
  )
}

function told<T>(of: fc.Arbitrary<T>, run: (value: T) => Use): fc.Arbitrary<readonly [string, Use]> {
  return of.map((value) => [JSON.stringify(value), run(value)] as const)
}
