import type { Random } from '../../support/random.ts'
import type { World } from '../world.ts'
import { hold, type Deed, type Deeds } from './deed.ts'

type LinkName = keyof World['links']

/** Faults that wait for their request, one of a kind at a time. */
const armed = new WeakMap<World, Set<string>>()

function arm(
  kind: string,
  link: LinkName,
  command: string,
  fault: 'loseReply' | 'loseRequest' | 'fallSilentAfter',
): Deed {
  return {
    async run(world, random) {
      const waiting = armed.get(world) ?? new Set<string>()
      armed.set(world, waiting)
      if (waiting.has(kind)) return
      waiting.add(kind)
      const server = link === 'cache' ? 0 : random.pick(await world.deployment.masters())
      void world.links[link][fault](command, server).then(() => waiting.delete(kind))
    },
  }
}

/** Longer than an attempt lasts, so that connections are given up. */
function holdBack(link: LinkName): Deed {
  return {
    async run({ links }, random) {
      links[link].blackhole()
      await hold(random, 100, 900)
    },
  }
}

function bad(link: LinkName, weather: 'delay' | 'chop' | 'corruptReply', random: Random, world: World): void {
  const links = world.links[link]
  if (weather === 'delay') links.delay(random.between(5, 60))
  else links[weather]()
}

const someLink = (random: Random): LinkName => random.pick(['writers', 'workers', 'cache', 'table'] as const)

export const linkDeeds: Deeds = {
  'cut the links of the writers': { run: async ({ links }) => links.writers.cut() },
  'cut the links of the workers': { run: async ({ links }) => links.workers.cut() },
  'cut the links of the cache': { run: async ({ links }) => links.cache.cut() },
  'cut the links of the table': { run: async ({ links }) => links.table.cut() },
  'lose a reply of an append': arm('append', 'writers', 'EVALSHA', 'loseReply'),
  'lose an append': arm('append', 'writers', 'EVALSHA', 'loseRequest'),
  'fall silent after an append': arm('append', 'writers', 'EVALSHA', 'fallSilentAfter'),
  'lose a reply of a read': arm('read', 'workers', 'XREADGROUP', 'loseReply'),
  'lose a reply of a worker': arm('commit', 'workers', 'EVALSHA', 'loseReply'),
  'lose a reply of the cache': arm('cache', 'cache', 'EVALSHA', 'loseReply'),
  'let the links of the workers fall silent': { run: async ({ links }) => links.workers.fallSilent() },
  'half-close the links of the writers': { run: async ({ links }) => links.writers.halfClose() },
  'half-close the links of the workers': { run: async ({ links }) => links.workers.halfClose() },
  'hold back what writers send': holdBack('writers'),
  'hold back what workers send': holdBack('workers'),
  'hold back what the cache is sent': holdBack('cache'),
  'hold back what the table is sent': holdBack('table'),
  'slow a link down': {
    async run(world, random) {
      bad(someLink(random), 'delay', random, world)
      await hold(random, 200, 1_000)
    },
  },
  'send in single bytes': {
    async run(world, random) {
      bad(random.pick(['workers', 'cache']), 'chop', random, world)
      await hold(random, 100, 400)
    },
  },
  'flap a link': {
    async run({ links }, random) {
      const link = links[someLink(random)]
      for (let times = random.between(4, 10); times > 0; times--) {
        link.refuse()
        link.cut()
        await hold(random, 20, 100)
        await link.mend()
        await hold(random, 20, 100)
      }
    },
  },
  'refuse writers': {
    async run({ links }, random) {
      links.writers.refuse()
      links.writers.cut()
      await hold(random, 50, 600)
    },
  },
}
