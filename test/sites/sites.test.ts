import { randomUUID } from 'node:crypto'
import {
  connect,
  defineCollection,
  mergeCounters,
  startSite,
  syncRound,
  whenHeld,
  winnerOf,
  type Collection,
  type CounterValue,
  type Log,
  type Site,
  type SiteEvent,
  type SiteOptions,
} from '@headwater/core'
import { startProxy, startRedis, type RedisServer, type TcpProxy } from '@headwater/local-servers'
import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'
import { givenSeed } from '../support/seed.ts'
import { booksCollection } from './books.ts'

const names = ['eu', 'us', 'asia'] as const
type Name = (typeof names)[number]
let servers: RedisServer[]
/** To be ended in this order. */
let opened: AsyncDisposable[] = []

beforeAll(async () => {
  servers = await Promise.all(names.map(() => startRedis({ own: true })))
})

afterEach(async () => {
  for (const each of opened) await each[Symbol.asyncDispose]()
  opened = []
})

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()))
})

interface World<T> {
  readonly logs: Readonly<Record<Name, Log>>
  readonly events: readonly SiteEvent[]
  /** By "from>to": the link over which a site looks at another. */
  readonly links: ReadonlyMap<string, TcpProxy>
  start(name: Name, options?: Partial<SiteOptions<T>>): Promise<Site>
}

/** Sites on a Redis server each, which see each other over links of their own. */
async function openWorld<T>(
  count: number,
  collection: () => Collection<T>,
  shared: Pick<SiteOptions<T>, 'weights' | 'merge'>,
): Promise<World<T> & { collectionOf: (name: Name) => Collection<T> }> {
  const namespace = `sites-${randomUUID()}`
  const present = names.slice(0, count)
  const collections = Object.fromEntries(present.map((name) => [name, collection()])) as Record<
    Name,
    Collection<T>
  >
  const links = new Map<string, TcpProxy>()
  const events: SiteEvent[] = []
  const logOf = async (at: number, name: Name, through?: TcpProxy): Promise<Log> => {
    const target = through ? { ...servers[at]!.options, ...through.address } : servers[at]!.options
    const options = { namespace, collections: [collections[name]], partitions: 2, deadlineMs: 1_000 }
    return await connect(target, options)
  }
  const logs = {} as Record<Name, Log>
  for (const [at, name] of present.entries()) logs[name] = await logOf(at, name)
  const peersOf = new Map<Name, Record<string, Log>>()
  for (const name of present) {
    const peers: Record<string, Log> = {}
    for (const [at, other] of present.entries()) {
      if (other === name) continue
      const link = await startProxy(servers[at]!.options)
      links.set(`${name}>${other}`, link)
      peers[other] = await logOf(at, other, link)
    }
    peersOf.set(name, peers)
  }
  const sites: Site[] = []
  opened.push(
    { [Symbol.asyncDispose]: async () => void (await Promise.all(sites.map((site) => site.stop()))) },
    {
      async [Symbol.asyncDispose]() {
        for (const link of links.values()) link.cut()
        const peers = [...peersOf.values()].flatMap((of) => Object.values(of))
        await Promise.all([...Object.values(logs), ...peers].map((log) => log.close()))
        await Promise.all([...links.values()].map((link) => link.stop()))
      },
    },
  )
  return {
    logs,
    events,
    links,
    collectionOf: (name) => collections[name],
    async start(name, options = {}) {
      const site = await startSite(logs[name], collections[name], {
        name,
        peers: peersOf.get(name)!,
        pollMs: 20,
        onEvent: (event) => void events.push(event),
        ...shared,
        ...options,
      })
      sites.push(site)
      return site
    },
  }
}

const weights = { eu: 2, us: 1, asia: 1 }

async function valuesOf<T>(world: World<T> & { collectionOf: (name: Name) => Collection<T> }, key: string) {
  return await Promise.all(
    Object.entries(world.logs).map(
      async ([name, log]) => (await log.get(world.collectionOf(name as Name), key))?.value,
    ),
  )
}

async function expectAgreed<T>(
  world: World<T> & { collectionOf: (name: Name) => Collection<T> },
  key: string,
  value: T | undefined,
): Promise<void> {
  const count = Object.keys(world.logs).length
  await eventually(async () => {
    expect(await valuesOf(world, key)).toEqual(Array.from({ length: count }, () => value))
  })
}

describe('two writing sites', () => {
  it('give each other what they write, and deletes too, and nothing goes round', async () => {
    const world = await openWorld(2, booksCollection, { weights })
    const { eu, us } = world.logs
    await world.start('eu')
    await world.start('us')
    const [inEu, inUs] = [world.collectionOf('eu'), world.collectionOf('us')]
    await eu.append(inEu.put({ id: 'a', title: 'from eu' }))
    await us.append(inUs.put({ id: 'b', title: 'from us' }))
    await expectAgreed(world, 'a', { id: 'a', title: 'from eu' })
    await expectAgreed(world, 'b', { id: 'b', title: 'from us' })
    await us.append(inUs.delete('a'))
    await expectAgreed(world, 'a', undefined)
    const lengths = async (): Promise<number[]> => {
      const counts = []
      for (const log of [eu, us]) {
        let count = 0
        for (let partition = 0; partition < log.partitions; partition++) {
          for await (const change of log.read(partition)) if (change.collection === 'books') count++
        }
        counts.push(count)
      }
      return counts
    }
    // Each of the three writes once in each log, and no more, however often the nodes are asked after that.
    expect(await lengths()).toEqual([3, 3])
    await eu.append(inEu.put({ id: 'c', title: 'last' }))
    await expectAgreed(world, 'c', { id: 'c', title: 'last' })
    expect(await lengths()).toEqual([4, 4])
  })

  it('agree after they were apart: by weight where neither knew of the other, by knowledge where one did', async () => {
    const world = await openWorld(2, booksCollection, { weights })
    const { eu, us } = world.logs
    const site = await world.start('eu')
    await world.start('us')
    const [inEu, inUs] = [world.collectionOf('eu'), world.collectionOf('us')]
    await eu.append(inEu.put({ id: 'known', title: 'first' }))
    await expectAgreed(world, 'known', { id: 'known', title: 'first' })
    for (const link of world.links.values()) {
      link.refuse()
      link.cut()
    }
    await eu.append(inEu.put({ id: 'side', title: 'heavy' }))
    await us.append(inUs.put({ id: 'side', title: 'light, and later' }))
    await us.append(inUs.put({ id: 'known', title: 'written over it' }))
    await eventually(() => expect(world.events.some(({ kind }) => kind === 'retrying')).toBe(true))
    for (const link of world.links.values()) await link.accept()
    await expectAgreed(world, 'side', { id: 'side', title: 'heavy' })
    await expectAgreed(world, 'known', { id: 'known', title: 'written over it' })
    await us.append(inUs.put({ id: 'side', title: 'knows both' }))
    await expectAgreed(world, 'side', { id: 'side', title: 'knows both' })
    expect((await site.node.read(['side']))[0]!.versions.versions).toHaveLength(1)
  })

  it('keep out what is too far ahead of the clock until the clock has come near, and take the rest', async () => {
    const world = await openWorld(2, booksCollection, { weights })
    await world.start('us')
    await world.start('eu', { driftMsMax: -60_000 })
    const inUs = world.collectionOf('us')
    await world.logs.us.append(inUs.put({ id: 'a', title: 'from the future' }))
    await eventually(() => {
      expect(world.events.find(({ kind }) => kind === 'drift')).toMatchObject({ with: 'us', key: 'a' })
    })
    expect(await world.logs.eu.get(world.collectionOf('eu'), 'a')).toBeUndefined()
  })
})

describe('three writing sites', () => {
  it('come to the same, whatever is written where while links are cut and sites stopped', async () => {
    const keys = ['a', 'b', 'c']
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          at: fc.constantFrom(...names),
          key: fc.constantFrom(...keys),
          title: fc.nat(99),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          at: fc.constantFrom(...names),
          key: fc.constantFrom(...keys),
          gone: fc.constant(true),
        }),
      },
      { weight: 2, arbitrary: fc.record({ cut: fc.nat(5) }) },
      { weight: 1, arbitrary: fc.record({ heal: fc.nat(5) }) },
      { weight: 1, arbitrary: fc.record({ restart: fc.constantFrom(...names) }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30 }), async (steps) => {
        const world = await openWorld(3, booksCollection, { weights })
        const sites = new Map<Name, Site>()
        for (const name of names) sites.set(name, await world.start(name))
        const links = [...world.links.values()]
        for (const one of steps) {
          if ('cut' in one) {
            links[one.cut]!.refuse()
            links[one.cut]!.cut()
          } else if ('heal' in one) {
            await links[one.heal]!.accept()
          } else if ('restart' in one) {
            await sites.get(one.restart)!.stop()
            sites.set(one.restart, await world.start(one.restart))
          } else {
            const collection = world.collectionOf(one.at)
            const change =
              'gone' in one
                ? collection.delete(one.key)
                : collection.put({ id: one.key, title: `${one.title} ${one.at}` })
            await world.logs[one.at].append(change)
          }
        }
        for (const link of links) await link.accept()
        await eventually(
          async () => {
            const rows = await Promise.all([...sites.values()].map((site) => site.node.read(keys)))
            const marks = rows.map((of) => of.map((row) => row?.mark))
            expect(marks[1]).toEqual(marks[0])
            expect(marks[2]).toEqual(marks[0])
            for (const [index, key] of keys.entries()) {
              const row = rows[0]![index]
              const elected = row && winnerOf(row.versions, { weights })
              expect(await valuesOf(world, key)).toEqual([elected, elected, elected])
            }
          },
          { timeoutMs: 20_000 },
        )
        for (const each of opened.splice(0)) await each[Symbol.asyncDispose]()
      }),
      { numRuns: 4, ...(givenSeed !== undefined && { seed: givenSeed }) },
    )
  }, 120_000)

  it('count together what each of them counts, by the declared merge', async () => {
    interface Counter {
      id: string
      count: CounterValue
    }
    const counted = z.record(z.string(), z.object({ up: z.int(), down: z.int() }))
    const counters = (): Collection<Counter> =>
      defineCollection('counters', {
        schema: z.object({ id: z.string(), count: counted }),
        key: ({ id }) => id,
      })
    const merge = (a: Counter, b: Counter): Counter => ({ id: a.id, count: mergeCounters(a.count, b.count) })
    const world = await openWorld(3, counters, { weights, merge })
    for (const name of names) await world.start(name)
    const add = async (name: Name): Promise<void> => {
      const [log, collection] = [world.logs[name], world.collectionOf(name)]
      for (;;) {
        const held = await log.get(collection, 'visits')
        const { [name]: own = { up: 0, down: 0 }, ...others } = held?.value.count ?? {}
        const count = { ...others, [name]: { up: own.up + 1, down: own.down } }
        try {
          await log.append(collection.put({ id: 'visits', count }), { expected: held?.version ?? 'absent' })
          return
        } catch {
          // Somebody else's count has entered meanwhile.
        }
      }
    }
    await Promise.all(
      names.map(async (name) => {
        for (let round = 0; round < 5; round++) await add(name)
      }),
    )
    const five = { up: 5, down: 0 }
    await expectAgreed(world, 'visits', { id: 'visits', count: { asia: five, eu: five, us: five } })
    expect(world.events.filter(({ kind }) => kind === 'refused')).toEqual([])
  })

  it('are waited for by weight, and brought together by a round as well', async () => {
    const world = await openWorld(3, booksCollection, { weights })
    const [eu, us] = [await world.start('eu'), await world.start('us')]
    const quorums = { weights, read: 2, write: 3 }
    const { position } = await world.logs.eu.append(world.collectionOf('eu').put({ id: 'a', title: 'x' }))
    const at = { site: 'eu', key: 'a', position }
    expect((await whenHeld([eu.node, us.node], at, { quorums })).toSorted()).toEqual(['eu', 'us'])
    await us.stop()
    const later = await world.logs.eu.append(world.collectionOf('eu').put({ id: 'a', title: 'y' }))
    const waiting = { site: 'eu', key: 'a', position: later.position }
    await expect(whenHeld([eu.node, us.node], waiting, { quorums, timeoutMs: 200 })).rejects.toMatchObject({
      code: 'WAIT_TIMEOUT',
    })
    expect(await syncRound([eu.node, us.node], { quorums })).toMatchObject({ acknowledged: 1, open: [] })
    expect(await whenHeld([eu.node, us.node], waiting, { quorums })).toHaveLength(2)
    const nodes = [eu.node, us.node]
    const held = await world.logs.eu.whenApplied(later.position, { nodes, site: 'eu', key: 'a', quorums })
    expect(held.toSorted()).toEqual(['eu', 'us'])
    // What a round has brought enters the log of the site when it works again.
    await world.start('us')
    await eventually(async () => {
      expect((await world.logs.us.get(world.collectionOf('us'), 'a'))?.value.title).toBe('y')
    })
  })
})
