import { randomUUID } from 'node:crypto'
import * as fc from 'fast-check'
import { Redis } from 'ioredis'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Change } from '../../packages/core/src/change/change.ts'
import { HeadwaterError } from '../../packages/core/src/errors/headwater-error.ts'
import { commit } from '../../packages/core/src/group/commit.ts'
import { noteHand } from '../../packages/core/src/group/hand.ts'
import {
  acquireLease,
  releaseLease,
  renewLease,
  takeLease,
  type LeaseRequest,
} from '../../packages/core/src/group/lease.ts'
import { leaveGroup, observeGroup } from '../../packages/core/src/group/membership.ts'
import { namespaceKeys, type NamespaceKeys } from '../../packages/core/src/namespace/keys.ts'
import { source as askRedrive } from '../../packages/core/src/parking/ask-redrive.lua.ts'
import { feedBack, refuseRedrive } from '../../packages/core/src/parking/feed-back.ts'
import { countDeaths, noteOffer } from '../../packages/core/src/parking/note-offer.ts'
import { park } from '../../packages/core/src/parking/park.ts'
import { parkedField } from '../../packages/core/src/parking/parked-key.ts'
import type { RedisClient } from '../../packages/core/src/redis/connection.ts'
import { script } from '../../packages/core/src/redis/script.ts'
import { Random } from '../support/random.ts'
import { givenSeed } from '../support/seed.ts'
import { asRedisClient, RedisCommands, type Settle } from './redis-commands.ts'
import { SimulatedRedis } from './simulated-redis.ts'
import { SimulatedTime } from './simulated-time.ts'

const group = 'copies'
const leaseMs = 3_000_000
const askScript = script('ask-redrive', askRedrive)
const owners = ['a', 'b'] as const
const changeKeys = ['x', 'y'] as const

let server: OwnRedisServer
let real: Redis

beforeAll(async () => {
  server = await startRedis({ own: true })
  real = new Redis(server.options)
})

afterAll(async () => {
  real.disconnect()
  await server.stop()
})

/** Straight to the model, without a network. */
class DirectClient extends RedisCommands {
  readonly #server: SimulatedRedis
  constructor(to: SimulatedRedis) {
    super()
    this.#server = to
  }

  protected override send(name: string, args: readonly (string | number)[], settle: Settle): void {
    const session = this.#server.connect()
    const answer = (reply: unknown, error?: Error): void =>
      error ? settle.reject(error) : settle.resolve(reply)
    session.receive([{ name, args: args.map(String), answer }])
    session.unblock()
  }
}

/** What is done, on both sides with what each of them gave. Numbers choose among what there is. */
type Move =
  | { readonly kind: 'acquire' | 'take'; readonly owner: string }
  | {
      readonly kind: 'renew' | 'release' | 'commit' | 'count deaths'
      readonly owner: string
      readonly old: boolean
      readonly part: number
    }
  | { readonly kind: 'hand'; readonly owner: string; readonly old: boolean; readonly done: boolean }
  | {
      readonly kind: 'park'
      readonly owner: string
      readonly key: string
      readonly count: number
      readonly behind: boolean
      readonly bound: number
    }
  | {
      readonly kind: 'feed back' | 'refuse'
      readonly owner: string
      readonly key: string
      readonly count: number
    }
  | {
      readonly kind: 'offer' | 'answered' | 'ask' | 'withdraw'
      readonly owner: string
      readonly keys: readonly string[]
    }
  | { readonly kind: 'observe' | 'leave'; readonly owner: string }
  | { readonly kind: 'append' | 'deliver' | 'leftovers'; readonly count: number }
  | {
      readonly kind:
        | 'lease runs out'
        | 'lease of another clock'
        | 'sign of another clock'
        | 'destroy the group'
        | 'restore the group'
        | 'damage'
        | 'fail over'
    }

// One of them does most, or it would seldom be the owner.
const owner = fc.constantFrom(owners[0], owners[0], owners[0], owners[1])
const old = fc.nat(9).map((one) => one === 0)
const key = fc.constantFrom(...changeKeys)
const count = fc.integer({ min: 1, max: 3 })
const kindOf = <K extends Move['kind']>(...kinds: readonly K[]) => fc.constantFrom(...kinds)
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: kindOf('acquire', 'acquire', 'take'), owner }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: kindOf('renew', 'release', 'commit', 'commit', 'count deaths'),
      owner,
      old,
      part: count,
    }),
  },
  fc.record({ kind: kindOf('hand'), owner, old, done: fc.boolean() }),
  {
    weight: 6,
    arbitrary: fc.record({
      kind: kindOf('park'),
      owner,
      key,
      count,
      behind: fc.boolean(),
      bound: fc.integer({ min: 1, max: 9 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: kindOf('feed back', 'feed back', 'refuse'), owner, key, count }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: kindOf('offer', 'answered', 'ask', 'withdraw'),
      owner,
      keys: fc.subarray([...changeKeys, 'z']),
    }),
  },
  fc.record({ kind: kindOf('observe', 'observe', 'leave'), owner }),
  { weight: 3, arbitrary: fc.record({ kind: kindOf('append', 'append', 'deliver', 'leftovers'), count }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: kindOf(
        'lease runs out',
        'lease of another clock',
        'sign of another clock',
        'destroy the group',
        'restore the group',
        'damage',
        'fail over',
      ),
    }),
  },
) as fc.Arbitrary<Move>

/** One partition of a group on one of the two servers. */
class Side {
  readonly client: RedisClient
  readonly keys: NamespaceKeys
  readonly #replicationId: string
  readonly #direct: Direct
  #appended = 0
  #parked = 0

  constructor(client: RedisClient, replicationId: string, direct: Direct) {
    this.client = client
    this.keys = namespaceKeys(randomUUID(), 1)
    this.#replicationId = replicationId
    this.#direct = direct
  }

  get #of() {
    return this.keys.partitions[0]!
  }

  async register(): Promise<void> {
    const { header, log, parkedKeys } = this.#of
    await this.client.hset(header, 'epoch', 1, 'sequence', 0, 'replication-id', this.#replicationId)
    await this.client.hset(this.#of.group(group), 'token', 0, 'checkpoint', '0-0', 'saved', '0-0')
    await this.client.hset(parkedKeys(group), '', '')
    await this.client.xgroup('CREATE', log, group, '0-0', 'MKSTREAM')
  }

  /** Gives what was answered. */
  async move(move: Move): Promise<unknown> {
    const { client } = this
    const request: LeaseRequest = { keys: this.#of, group, owner: 'owner' in move ? move.owner : '', leaseMs }
    const token = await this.#token('old' in move && move.old)
    switch (move.kind) {
      case 'acquire':
        return await acquireLease(client, request)
      case 'take':
        return await takeLease(client, request)
      case 'renew':
        return await renewLease(client, request, token)
      case 'release':
        return await releaseLease(client, request, token)
      case 'commit': {
        const at = { epoch: 1, sequence: Math.floor(this.#appended / move.part) }
        const entries = [`1-${this.#appended}`, '1-1']
        return await commit(client, request, token, { checkpoint: at, saved: at, entries })
      }
      case 'count deaths':
        return await countDeaths(client, request, token, 2)
      case 'hand':
        return await noteHand(
          client,
          request,
          token,
          move.done ? undefined : { stamp: { epoch: 1, sequence: 1 }, deaths: 2 },
        )
      case 'park': {
        const changes = Array.from({ length: move.count }, () => changeOf(move.key, ++this.#parked))
        const error = new HeadwaterError('SINK_REJECTED', `No room for ${move.key}.`)
        const bounds = { keys: 1, changesOfKey: move.bound }
        return await park(client, request, token, { changes, error, behind: move.behind, bounds })
      }
      case 'feed back': {
        const field = parkedField('notes', move.key)
        const entries = await client.xrange(this.#of.parked(group), '-', '+')
        const ids = entries.filter(([, fields]) => fields[1] === field).map(([id]) => id)
        const [copies, next] = [ids.slice(0, move.count), ids[move.count]]
        const copyOf = (id: string) => ({ id, change: changeOf(move.key, 1), code: '', reason: '' })
        return await feedBack(client, request, token, {
          field,
          copies: copies.map(copyOf),
          next: next === undefined ? undefined : copyOf(next),
        })
      }
      case 'refuse': {
        const error = new HeadwaterError('SINK_REJECTED', 'Still no.')
        return await refuseRedrive(client, request, token, parkedField('notes', move.key), error)
      }
      case 'offer':
      case 'answered': {
        const fields = move.keys.map((one) => parkedField('notes', one))
        return await noteOffer(client, request, token, move.kind, fields)
      }
      case 'ask':
      case 'withdraw': {
        const fields = move.keys.map((one) => parkedField('notes', one))
        const keys = [this.#of.group(group), this.#of.parkedKeys(group)]
        return await askScript.run(client, { keys, args: [move.kind, ...fields] })
      }
      case 'observe': {
        const member = { keys: this.keys, group, worker: move.owner, leaseMs }
        const { view, nextExpiryMs, redrives } = await observeGroup(client, member, false)
        return { ...view, members: view.members.toSorted(), nextExpiryMs, redrives }
      }
      case 'leave':
        return await leaveGroup(client, { keys: this.keys, group, worker: move.owner, leaseMs })
      case 'append':
        return await this.#append(move.count)
      case 'deliver':
        return await client
          .xreadgroup(
            'GROUP',
            group,
            'headwater',
            'COUNT',
            move.count,
            'BLOCK',
            1,
            'STREAMS',
            this.#of.log,
            '>',
          )
          .catch((error: Error) => error.message.split(' ')[0])
      case 'leftovers': {
        const pending = await client
          .xpending(this.#of.log, group, '(1-1', `1-${this.#appended}`, move.count)
          .catch((error: Error) => error.message.split(' ')[0])
        return Array.isArray(pending) ? (pending as string[][]).map(([id]) => id) : pending
      }
      case 'lease runs out':
        return await client.hset(this.#of.group(group), 'expires', (await this.#direct.nowMs()) - 1_000)
      case 'lease of another clock':
        return await client.hset(this.#of.group(group), 'expires', (await this.#direct.nowMs()) + 9 * leaseMs)
      case 'sign of another clock':
        return await observeGroup(
          client,
          { keys: this.keys, group, worker: 'far', leaseMs: 9 * leaseMs },
          false,
        ).then(() => undefined)
      case 'destroy the group':
        return await client.xgroup('DESTROY', this.#of.log, group)
      case 'damage':
        return await client.hset(this.#of.group(group), 'damage', 'Something is missing.')
      case 'fail over':
        // As it is when another server has the data: the header knows another one.
        return await client.hset(this.#of.header, 'replication-id', 'another')
      case 'restore the group':
        return await client
          .xgroup('CREATE', this.#of.log, group, '1-1')
          .catch((error: Error) => error.message.split(' ')[0])
      default:
        throw new Error(`Nobody knows how to ${JSON.stringify(move)}.`)
    }
  }

  /** Everything that is stored, without what tells when. */
  async state(): Promise<unknown> {
    const { client } = this
    const of = this.#of
    const [header, record, markers, parked, log, groups] = await Promise.all([
      client.hgetall(of.header),
      client.hgetall(of.group(group)),
      client.hgetall(of.parkedKeys(group)),
      client.xrange(of.parked(group), '-', '+'),
      client.xrange(of.log, '-', '+'),
      client.xinfo('GROUPS', of.log) as Promise<unknown[][]>,
    ])
    const ids = parked.map(([id]) => id)
    const place = (id: unknown): unknown => (ids.includes(id as string) ? ids.indexOf(id as string) : 'gone')
    const now = await this.#direct.nowMs()
    const signs = await this.#direct.signs(this.keys.members(group))
    const { expires, committed, parks, 'parks-over': over, ...rest } = record
    return {
      // Without when an epoch began.
      header: Object.entries(header).map(([field, value]) => [field, value.split(' ').slice(0, 2)]),
      record: rest,
      leaseLeft: expires === undefined ? undefined : Math.round((Number(expires) - now) / 1_000_000),
      signs: Object.fromEntries(signs.map(([name, until]) => [name, Math.round((until - now) / 1_000_000)])),
      hasCommitted: committed !== undefined,
      // Attempts are numbered through both sides.
      parks: [parks, over].map((text) => text?.split(' ')[0]),
      allOver: parks === over,
      markers: Object.entries(markers)
        .filter(([field]) => field !== '')
        .map(([field, json]) => {
          const { since, from, ...marker } = JSON.parse(json) as Record<string, unknown>
          return { field, marker, from: place(from), since: typeof since }
        })
        .toSorted((a, b) => (a.field < b.field ? -1 : 1)),
      parked: parked.map(([, fields]) => fields),
      log: log.map(([id]) => id),
      groups: groups.map((fields) => {
        const at = (name: string): unknown => fields[fields.indexOf(name) + 1]
        return [at('name'), at('pending'), at('last-delivered-id')]
      }),
    }
  }

  async #token(isOld: boolean): Promise<number> {
    return Number(await this.client.hget(this.#of.group(group), 'token')) - (isOld ? 1 : 0)
  }

  async #append(count: number): Promise<void> {
    this.#appended += count
    const id = `1-${this.#appended}`
    await this.client.hset(this.#of.header, 'sequence', this.#appended)
    await this.#direct.append(this.#of.log, id)
  }
}

/** What only tests do with a server. */
interface Direct {
  readonly nowMs: () => Promise<number>
  readonly append: (log: string, id: string) => Promise<unknown>
  /** When the life signs of members run out, by name. */
  readonly signs: (key: string) => Promise<readonly (readonly [string, number])[]>
}

describe('the models of the scripts that workers run', () => {
  it('answer and store what the scripts do on a real Redis', { timeout: 60_000 }, async () => {
    const replicationId = /master_replid:(\w+)/.exec(await real.info('replication'))![1]!
    await fc.assert(
      fc.asyncProperty(fc.array(move, { minLength: 5, maxLength: 60, size: 'max' }), async (moves) => {
        const time = new SimulatedTime(new Random(1))
        const model = new SimulatedRedis(time, () => {})
        model.replicationId = replicationId
        const realNow = async (): Promise<number> => {
          const [seconds, microseconds] = await real.time()
          return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000)
        }
        model.clockStepMs = (await realNow()) - model.nowMs
        const sides = [
          new Side(real, replicationId, {
            nowMs: realNow,
            append: (log, id) => real.xadd(log, id, 'first', '1'),
            signs: async (key) => pairs(await real.zrange(key, 0, '-1', 'WITHSCORES')),
          }),
          new Side(asRedisClient(new DirectClient(model)), replicationId, {
            nowMs: async () => model.nowMs,
            append: async (log, id) => model.append(log, id, ['first', '1']),
            signs: async (key) => [...model.store.sortedSet(key)],
          }),
        ] as const
        for (const side of sides) await side.register()
        for (const one of moves) {
          model.clockStepMs += (await realNow()) - model.nowMs
          const [answered, modelled] = [await sides[0].move(one), await sides[1].move(one)]
          expect([one, timeless(modelled, sides[1])]).toEqual([one, timeless(answered, sides[0])])
          expect([one, await sides[1].state()]).toEqual([one, await sides[0].state()])
        }
      }),
      { numRuns: 60, ...(givenSeed !== undefined && { seed: givenSeed }) },
    )
  })
})

function pairs(flat: readonly string[]): [string, number][] {
  return flat.flatMap((name, at) => (at % 2 === 0 ? [[name, Number(flat[at + 1])]] : []))
}

/** Times are only nearly the same; names of keys differ between the sides. */
function timeless(reply: unknown, { keys }: Side): unknown {
  const text = JSON.stringify(reply ?? null, (name, value: unknown) =>
    name === 'leftMs' || name === 'nextExpiryMs' ? Math.round(Number(value) / 1_000_000) : value,
  )
  return text.replaceAll(keys.metadata.replace(':metadata', '').slice(0, -1), 'ns')
}

function changeOf(of: string, sequence: number): Change {
  return {
    collection: 'notes',
    key: of,
    kind: 'put',
    version: '1',
    stamp: { epoch: 1, sequence },
    schemaVersion: 1,
    time: 1,
    payload: '{}',
    metadata: {},
    trace: undefined,
  } as unknown as Change
}
