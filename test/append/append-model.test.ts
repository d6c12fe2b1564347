import {
  canonicalJson,
  connect,
  VersionConflictError,
  type AppendResult,
  type Collection,
  type Expected,
  type HeadwaterError,
  type Log,
} from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import * as fc from 'fast-check'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  LogModel,
  versionText,
  type ModelAnswer,
  type ModelChange,
  type ModelRequest,
} from '../support/log-model.ts'
import { rawChanges, rawDigest, rawEntryCount, rawEpoch, rawState } from '../support/raw-log.ts'
import { givenSeed } from '../support/seed.ts'
import {
  collections,
  keys,
  steps,
  things,
  type Draft,
  type Expectation,
  type Step,
  type Thing,
} from './append-steps.ts'

let server: OwnRedisServer
let client: Redis

beforeAll(async () => {
  server = await startRedis({ own: true })
  client = new Redis({ ...server.options, protocol: 2, retryStrategy: () => 10 })
  // The crashes are wanted; without a listener ioredis would print them.
  client.on('error', () => {})
})

afterAll(async () => {
  client.disconnect()
  await server.stop()
})

describe('the log', () => {
  it('answers, stores and keeps exactly what its model does', async () => {
    let walks = 0
    const property = fc.asyncProperty(steps(), async (path) => {
      await client.flushall()
      await using walk = await Walk.begin(`walk-${++walks}`)
      for (const step of path) {
        const { actual, owed } = await walk.take(step)
        expect(actual).toEqual(owed)
        const held = await walk.holds()
        expect(held.actual).toEqual(held.owed)
      }
    })
    await fc.assert(property, {
      ...(givenSeed !== undefined && { seed: givenSeed }),
      numRuns: 60,
      interruptAfterTimeLimit: 15_000,
    })
  }, 60_000)
})

/** What happened at a step, and what should have. */
interface Taken {
  readonly actual: unknown
  readonly owed: unknown
}

/** A log and its model, which take the same steps. */
class Walk {
  readonly #namespace: string
  readonly #producers: readonly [Log, Log]
  readonly #impatient: Log
  #model = new LogModel(0)
  #saved = new LogModel(0)
  /** Versions that were acknowledged at some time, on whatever branch. */
  readonly #past = ['1', '2@2']

  private constructor(namespace: string, producers: readonly [Log, Log], impatient: Log) {
    this.#namespace = namespace
    this.#producers = producers
    this.#impatient = impatient
  }

  static async begin(namespace: string): Promise<Walk> {
    const open = (deadlineMs: number): Promise<Log> =>
      connect(server.options, { namespace, collections, partitions: 1, deadlineMs })
    const walk = new Walk(namespace, [await open(10_000), await open(10_000)], await open(200))
    await client.save()
    return walk
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#producers, this.#impatient].map((log) => log.close()))
  }

  async take(step: Step): Promise<Taken> {
    switch (step.kind) {
      case 'append':
        return await this.#append(this.#producers[step.producer], step.lists, step.drafts)
      case 'patch':
        return await this.#patch(this.#producers[step.producer], step.key, step.content)
      case 'append to a full server':
        return await this.#appendToFullServer(step.drafts)
      case 'forget the scripts':
        await client.script('FLUSH')
        break
      case 'save':
        await client.save()
        this.#saved = this.#model.copy()
        break
      case 'crash':
        await server.kill('SIGKILL')
        await server.restart()
        this.#model = this.#saved.copy()
        this.#model.move()
        break
    }
    return { actual: undefined, owed: undefined }
  }

  async #append(log: Log, lists: boolean, drafts: readonly Draft[]): Promise<Taken> {
    const before = await this.#contents()
    const entries = await rawEntryCount(client, this.#namespace, 0)
    const length = this.#model.changes.length
    const requests = drafts.map((draft) => this.#resolve(draft))
    const actual = await Promise.all(requests.map((request) => send(log, request, lists)))
    const epoch = await rawEpoch(client, this.#namespace, 0)
    const owed = requests.map((request) => this.#answer(request, epoch))
    const written = this.#model.changes.length > length
    const after = {
      // Requests of one moment go as one batch.
      entries: await rawEntryCount(client, this.#namespace, 0),
      // What is refused as a whole leaves no trace.
      contents: written ? 'changed' : await this.#contents(),
    }
    return {
      actual: { answers: actual, ...after },
      owed: {
        answers: owed,
        entries: entries + (written ? 1 : 0),
        contents: written ? 'changed' : before,
      },
    }
  }

  async #patch(log: Log, key: string, content: string): Promise<Taken> {
    const present = this.#model.versionOf(things.name, key) !== undefined
    const request = {
      changes: [change(things, key, { id: key, content }, 'any')],
      idempotencyKey: undefined,
      metadata: {},
    }
    const actual = await answerOf(log.append(things.patch(key, { content })))
    const epoch = await rawEpoch(client, this.#namespace, 0)
    return { actual, owed: present ? this.#answer(request, epoch) : { kind: 'refused' } }
  }

  async #appendToFullServer(drafts: readonly Draft[]): Promise<Taken> {
    const before = await contents([])
    await client.config('SET', 'maxmemory', '1')
    const answers = await Promise.all(
      drafts.map((draft) => send(this.#impatient, this.#resolve(draft), false)),
    )
    await client.config('SET', 'maxmemory', '0')
    return {
      actual: { answers, contents: await contents([]) },
      owed: { answers: drafts.map(() => ({ kind: 'refused' })), contents: before },
    }
  }

  /** Gives a draft its meaning, now that its turn has come. */
  #resolve({ changes, idempotencyKey, metadata }: Draft): ModelRequest {
    return {
      changes: changes.map(({ collection, key, content, expectation }) =>
        change(
          collection,
          key,
          content === undefined ? undefined : { id: key, content },
          this.#meaning(expectation, this.#model.latestOf(collection.name).get(key)),
        ),
      ),
      idempotencyKey,
      metadata,
    }
  }

  #meaning(expectation: Expectation, latest: ModelChange | undefined): string {
    if (typeof expectation === 'object') return this.#past[expectation.past % this.#past.length]!
    if (expectation === 'right') return latest ? versionText(latest) : 'absent'
    if (expectation === 'wrong') return `${(latest?.version ?? 0) + 1}`
    return expectation
  }

  #answer(request: ModelRequest, epoch: number): ModelAnswer {
    const answer = this.#model.append(request, epoch)
    if (answer.kind === 'stored') this.#past.push(...answer.results.map(({ version }) => version))
    return answer
  }

  #contents(): Promise<Map<string, string>> {
    // A producer's last answer is kept for its retry.
    return contents([`headwater:{${this.#namespace}:0}:producers`])
  }

  /** Everything that the log has, read in every way there is. */
  async holds(): Promise<Taken> {
    const { changes } = this.#model
    const read = []
    const hashes = new Map<number, bigint>()
    for await (const change of this.#producers[0].read(0)) {
      const { collection, schemaVersion, key, kind, stamp, payload, metadata, version, value } = change
      read.push({ collection, schemaVersion, key, kind, ...stamp, payload, metadata, version, value })
      hashes.set(stamp.sequence, change.hash)
    }
    const state = await Promise.all(collections.map((collection) => this.#state(collection, hashes)))
    const kept = collections.filter((collection) => collection.state === 'values')
    return {
      actual: {
        raw: await rawChanges(client, this.#namespace, 0),
        read,
        state: state.map(({ actual }) => actual),
        values: await Promise.all(kept.map((collection) => this.#values(collection))),
      },
      owed: {
        raw: changes,
        read: changes.map((change) => ({
          ...change,
          version: versionText(change),
          value: change.kind === 'put' ? (JSON.parse(change.payload) as unknown) : undefined,
        })),
        state: state.map(({ owed }) => owed),
        values: kept.map(({ name }) => {
          const latest = this.#model.latestOf(name)
          return keys.map((key) => {
            const version = this.#model.versionOf(name, key)
            return version && [version, latest.get(key)!.payload]
          })
        }),
      },
    }
  }

  /** The state of a collection and its digest; owed is a full recount of the cells. */
  async #state({ name, state }: Collection<Thing>, hashes: ReadonlyMap<number, bigint>): Promise<Taken> {
    const latest = [...this.#model.latestOf(name).values()]
    const buckets = await rawState(client, this.#namespace, 0, name)
    const records = new Map<string, unknown>()
    const cells = buckets.map((of) => {
      const cell = { high: 0n, low: 0n }
      for (const [key, { hashHigh, hashLow, ...record }] of of) {
        records.set(key, { ...record, hash: (BigInt(hashHigh) << 35n) + BigInt(hashLow) })
        cell.high += BigInt(hashHigh)
        cell.low += BigInt(hashLow)
      }
      return cell
    })
    return {
      actual: { records, digest: await rawDigest(client, this.#namespace, 0, name) },
      owed: {
        records: new Map(
          latest.map(({ key, epoch, sequence, version, kind, payload }) => {
            const hash = hashes.get(sequence)
            const kept = state === 'values' ? payload : ''
            return [key, { epoch, sequence, version, deleted: kind === 'delete', payload: kept, hash }]
          }),
        ),
        digest: cells,
      },
    }
  }

  async #values(collection: Collection<Thing>): Promise<unknown[]> {
    const entities = await this.#producers[1].getMany(collection, keys)
    return entities.map((entity) => entity && [entity.version, canonicalJson(entity.value)])
  }
}

function change(
  { name, schemaVersion }: Collection<Thing>,
  key: string,
  value: Thing | undefined,
  expected: string,
): ModelRequest['changes'][number] {
  return { collection: name, schemaVersion, key, value, expected }
}

type Answer = ModelAnswer | { readonly kind: 'refused' }

async function send(log: Log, request: ModelRequest, asList: boolean): Promise<Answer> {
  const { changes, idempotencyKey, metadata } = request
  const made = changes.map(({ collection, key, value }) => {
    const of = collections.find(({ name }) => name === collection)!
    return value === undefined ? of.delete(key) : of.put(value as Thing)
  })
  const expected = changes.map((change) => change.expected as Expected)
  const options = { metadata, ...(idempotencyKey !== undefined && { idempotencyKey }) }
  return await answerOf(
    asList
      ? log.append(made, { ...options, expected })
      : log.append(made[0]!, { ...options, expected: expected[0]! }),
  )
}

async function answerOf(appending: Promise<AppendResult | AppendResult[]>): Promise<Answer> {
  try {
    const results = [await appending].flat()
    return {
      kind: results[0]!.duplicate ? 'duplicate' : 'stored',
      results: results.map(({ version, position }) => ({ version, position })),
    }
  } catch (error) {
    if (error instanceof VersionConflictError) {
      const { key, expected, actual } = error
      return { kind: 'conflict', key, expected, actual }
    }
    return { kind: (error as HeadwaterError).code === 'OPTION_INVALID' ? 'key reused' : 'refused' }
  }
}

/** A digest of every key, as the server itself computes it. */
async function contents(except: readonly string[]): Promise<Map<string, string>> {
  const names = (await client.keys('*')).filter((name) => !except.includes(name)).toSorted()
  const digests = (await client.call('DEBUG', 'DIGEST-VALUE', ...names)) as string[]
  return new Map(names.map((name, at) => [name, digests[at]!]))
}
