import { eventually } from '../support/eventually.ts'
import type { Random } from '../support/random.ts'
import { groups, type World } from './world.ts'

/** What it did, and how often. */
export type Deeds = Readonly<Record<string, number>>

/** Breaks a world in every way that it must survive, one after the other, in an order that the seed repeats. */
export class Nemesis {
  readonly #world: World
  readonly #random: Random
  readonly #deeds: Record<string, number> = {}
  readonly #starting: Promise<void>[] = []
  readonly #armed = new Set<string>()

  constructor(world: World) {
    this.#world = world
    this.#random = world.random
  }

  get deeds(): Deeds {
    return this.#deeds
  }

  /** So many deeds, each followed by some progress. */
  async rage(count: number): Promise<void> {
    const deeds = Object.entries(this.#possible())
    // All of them at least once before any of them again, as far as the count goes.
    let bag: typeof deeds = []
    for (let at = 0; at < count; at++) {
      if (bag.length === 0) bag = [...deeds]
      const [name, deed] = bag.splice(this.#random.below(bag.length), 1)[0]!
      this.#deeds[name] = (this.#deeds[name] ?? 0) + 1
      await deed()
      await this.#mend()
      await this.progress(this.#random.between(20, 80))
    }
    await Promise.all(this.#starting)
  }

  /** Waits until so many more changes are in the log. */
  async progress(changes: number): Promise<void> {
    const total = async (): Promise<number> =>
      (await this.#world.sequences()).reduce((sum, sequence) => sum + sequence, 0)
    const before = await total()
    await eventually(
      async () => {
        const now = await total()
        if (now < before + changes) throw new Error(`The log stands still at ${now} changes.`)
      },
      { timeoutMs: 30_000 },
    )
  }

  #possible(): Readonly<Record<string, () => unknown>> {
    const world = this.#world
    const { links } = world
    return {
      'kill a worker': async () => {
        await world.killWorker(this.#random.pick(world.workers))
        const starting = world.startWorker()
        this.#starting.push(starting)
        // One that works is enough to go on.
        if (world.workers.length === 0) await starting
      },
      'stop a worker until others have its partitions': () => this.#stopWorker(),
      'kill a writer': async () => {
        await world.killChildWriter()
        await world.startChildWriter()
      },
      'cut the links of the writers': () => links.writers.cut(),
      'cut the links of the workers': () => links.workers.cut(),
      'lose replies of appends': () => this.#arm('append', () => links.writers.loseReply('EVALSHA')),
      'lose an append': () => this.#arm('append', () => links.writers.loseRequest('EVALSHA')),
      'fall silent after an append': () =>
        this.#arm('append', () => links.writers.fallSilentAfter('EVALSHA')),
      'lose a reply of a read': () => this.#arm('read', () => links.workers.loseReply('XREADGROUP')),
      'lose replies of workers': () => this.#arm('commit', () => links.workers.loseReply('EVALSHA')),
      'let the links of the workers fall silent': () => links.workers.fallSilent(),
      'hold back what writers send': () => this.#blackhole('writers'),
      'hold back what workers send': () => this.#blackhole('workers'),
      'refuse writers': () => links.writers.refuse(),
      'lose a reply of the cache': () => this.#arm('cache', () => links.cache.loseReply('EVALSHA')),
      'cut the links of the cache': () => links.cache.cut(),
      'cut the links of the table': () => links.table.cut(),
      'hold back what the cache is sent': () => this.#blackhole('cache'),
      'hold back what the table is sent': () => this.#blackhole('table'),
      'forget scripts': () => Promise.all([world.client.script('FLUSH'), world.cacheClient.script('FLUSH')]),
      'destroy groups': () => this.#destroyGroups(),
      'steal entries': () => this.#steal(),
      'disconnect everybody': () => world.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
    }
  }

  /** Lets everything through again. What hangs in a link that was cut off is gone. */
  async #mend(): Promise<void> {
    for (const link of Object.values(this.#world.links)) {
      link.heal()
      await link.accept()
    }
  }

  /** One of a kind at a time: an armed fault waits for its request. */
  #arm(kind: string, fault: () => Promise<void>): void {
    if (this.#armed.has(kind)) return
    this.#armed.add(kind)
    void fault().then(() => this.#armed.delete(kind))
  }

  /** Longer than an attempt lasts, so that connections are given up. */
  async #blackhole(link: keyof World['links']): Promise<void> {
    this.#world.links[link].blackhole()
    await new Promise((resolve) => setTimeout(resolve, this.#random.between(100, 900)))
  }

  async #stopWorker(): Promise<void> {
    const world = this.#world
    const worker = this.#random.pick(world.workers)
    const tokens = async (): Promise<Map<string, number>> => {
      const entries = await Promise.all(
        groups.flatMap((group) =>
          Array.from({ length: world.log.partitions }, async (_, partition) => {
            const key = `headwater:{${world.log.namespace}:${partition}}:group:${group}`
            return [key, Number(await world.client.hget(key, 'token'))] as const
          }),
        ),
      )
      return new Map(entries)
    }
    const held = new Set(
      worker.events.flatMap((event) =>
        event.kind === 'acquired' && 'group' in event
          ? [`headwater:{${world.log.namespace}:${event.partition}}:group:${event.group}`]
          : [],
      ),
    )
    const before = await tokens()
    await worker.kill('SIGSTOP')
    try {
      await eventually(
        async () => {
          const after = await tokens()
          const taken = [...held].some((key) => after.get(key)! > before.get(key)!)
          if (held.size > 0 && !taken) throw new Error('Nobody takes over.')
        },
        { timeoutMs: 20_000 },
      )
    } finally {
      await worker.kill('SIGCONT')
    }
  }

  async #destroyGroups(): Promise<void> {
    const { client, log } = this.#world
    const partition = this.#random.below(log.partitions)
    const stream = `headwater:{${log.namespace}:${partition}}:log`
    for (const group of groups) await client.xgroup('DESTROY', stream, group)
  }

  /** Takes entries as a former owner does whose read is answered late. */
  async #steal(): Promise<void> {
    const { client, log } = this.#world
    for (const group of groups) {
      for (let partition = 0; partition < log.partitions; partition++) {
        const stream = `headwater:{${log.namespace}:${partition}}:log`
        await client.xreadgroup('GROUP', group, 'headwater', 'COUNT', 2, 'STREAMS', stream, '>').catch(() => {
          // Its group was destroyed a moment ago.
        })
      }
    }
  }
}
