import { defineCollection } from '../../packages/core/src/collection/collection.ts'
import type { Hasher } from '../../packages/core/src/change/content-hash.ts'
import { bucketsOfPartition } from '../../packages/core/src/namespace/metadata.ts'
import { namespaceKeys, type NamespaceKeys } from '../../packages/core/src/namespace/keys.ts'
import { source as askRedrive } from '../../packages/core/src/parking/ask-redrive.lua.ts'
import { memorySink } from '../../packages/core/src/sink/memory-sink.ts'
import { z } from 'zod'
import { Random } from '../support/random.ts'
import { Audit } from './audit.ts'
import { epochNow, openEpoch } from './epoch-model.ts'
import type { Plan, Trouble } from './plan.ts'
import type { Network } from './simulated-client.ts'
import { SimulatedRedis } from './simulated-redis.ts'
import { SimulatedTarget } from './simulated-sink.ts'
import { SimulatedTime } from './simulated-time.ts'
import { SimulatedWorker } from './simulated-worker.ts'

export interface LifeReport {
  readonly seed: number
  readonly breaches: readonly string[]
  /** Happenings. */
  readonly steps: number
  /** Simulated time, ms. */
  readonly tookMs: number
  /** From the last trouble until everything was applied, ms. */
  readonly recoveryMs: number
  readonly events: Readonly<Record<string, number>>
  readonly troubles: number
}

export interface LifeOptions {
  readonly hasher: Hasher
  /** Told what happens. */
  readonly trace?: (line: string) => void
}

const notes = defineCollection('notes', {
  schema: z.object({ id: z.string(), content: z.number() }),
  key: ({ id }) => id,
})
const group = 'copies'
/** With nothing wrong any more, everything is applied within this time. */
const recoveryMsMax = 60_000
const stopMsMax = 30_000
/** So often parked keys are asked for, when nothing is wrong any more. */
const hurryEveryMs = 100
/** What a lease lasts of the time in which another worker has taken over, as `startWorker` has it. */
const leaseShare = 0.75

function madeOnce(key: (group: string) => string): () => string {
  const made = key(group)
  return () => made
}

/** The keys of production, each made once: the simulated Redis finds a text sooner that it has hashed before. */
function keysOf(partitions: number): NamespaceKeys {
  const keys = namespaceKeys('simulated', partitions)
  return {
    ...keys,
    members: madeOnce(keys.members),
    partitions: keys.partitions.map((of) => ({
      ...of,
      group: madeOnce(of.group),
      parkedKeys: madeOnce(of.parkedKeys),
      parked: madeOnce(of.parked),
      dropped: madeOnce(of.dropped),
    })),
  }
}

/** Leads one life from its plan to its end: troubles, then none, then everything has to be where it belongs. */
export async function lead(plan: Plan, options: LifeOptions): Promise<LifeReport> {
  return await new Life(plan, options).run()
}

class Life {
  readonly #plan: Plan
  readonly #trace: ((line: string) => void) | undefined
  readonly #random: Random
  readonly #time: SimulatedTime
  readonly #audit: Audit
  readonly #server: SimulatedRedis
  readonly #target: SimulatedTarget
  readonly #keys: NamespaceKeys
  readonly #hasher: Hasher
  readonly #events: Record<string, number> = {}
  #workers: SimulatedWorker[] = []
  #started = 0
  #troubles = 0
  #over = false
  /** What has to become so next, and what follows then. */
  #awaited: { readonly isSo: () => boolean; readonly goOn: () => void } | undefined
  /** Something has happened by which it may have become so. */
  #changed = false
  #healthySince = 0
  #recoveredAt: number | undefined
  /** Partitions that nobody has taken over yet since the last death. */
  #orphaned = new Set<number>()

  constructor(plan: Plan, { hasher, trace }: LifeOptions) {
    this.#plan = plan
    this.#trace = trace
    this.#hasher = hasher
    // Of its own, so that a plan is the same whatever happens in it.
    this.#random = new Random(plan.seed ^ 0x5eed)
    this.#time = new SimulatedTime(this.#random)
    this.#keys = keysOf(plan.partitions)
    const memory = memorySink({ collection: notes, concurrency: plan.concurrency })
    this.#audit = new Audit({
      target: memory.target,
      group,
      collection: notes.name,
      keys: this.#keys.partitions.map((of) => ({
        group: of.group(group),
        parkedKeys: of.parkedKeys(group),
      })),
      everyChange: plan.everyChange,
      store: () => this.#server.store,
    })
    this.#server = new SimulatedRedis(this.#time, (name, keys, args, reply) => {
      this.#changed = true
      this.#audit.script(name, keys, args, reply)
      this.#tookOver(name, keys, reply)
      this.#tell(() => `redis: ${name} ${args.slice(0, 6).join(' ')} → ${JSON.stringify(reply)}`)
    })
    this.#target = new SimulatedTarget(this.#time, memory, this.#audit)
  }

  async run(): Promise<LifeReport> {
    const { partitions, workers, changes, troubledMs, troubleCount, troubles } = this.#plan
    const when = this.#moments()
    this.#register()
    for (let worker = 0; worker < workers; worker++) {
      this.#time.after(this.#random.below(Math.min(200, troubledMs)), () => this.#startWorker())
    }
    for (let change = 0; change < changes;) {
      const count = this.#random.between(1, Math.min(3, changes - change))
      change += count
      const partition = this.#random.below(partitions)
      this.#time.after(when(), () => this.#append(partition, count))
    }
    for (let at = 0; at < troubleCount; at++) {
      const trouble = this.#random.pick(troubles)
      this.#time.after(when(), () => this.#trouble(trouble))
    }
    this.#time.after(troubledMs, () => this.#heal())
    await this.#time.run(() => {
      if (this.#changed) this.#look()
      return this.#over || this.#audit.breaches.length > 0
    })
    return {
      seed: this.#plan.seed,
      breaches: this.#audit.breaches,
      steps: this.#time.steps,
      tookMs: this.#time.now,
      recoveryMs: (this.#recoveredAt ?? this.#time.now) - this.#healthySince,
      events: this.#events,
      troubles: this.#troubles,
    }
  }

  /** Draws when something is to be done. */
  #moments(): () => number {
    const { moments, troubledMs, latencyMs } = this.#plan
    const random = this.#random
    if (moments === 0) return () => random.below(troubledMs)
    const drawn = Array.from({ length: moments }, () => random.below(troubledMs))
    // What meets what is on its way is worth more than what meets nothing.
    return () => Math.min(troubledMs, random.pick(drawn) + random.below(10 * (1 + 4 * latencyMs)) / 10)
  }

  /** As the scripts leave it that create a log and register a group. */
  #register(): void {
    const { store, replicationId, nowMs } = this.#server
    if (this.#plan.scriptsKnown) this.#server.knowScripts()
    for (const of of this.#keys.partitions) {
      const header = store.hash(of.header)
      header.set('sequence', '0')
      openEpoch(header, replicationId, { epoch: 1, sequence: 0 }, nowMs)
      const record = { token: '0', checkpoint: '0-0', saved: '0-0' }
      for (const [field, value] of Object.entries(record)) store.hash(of.group(group)).set(field, value)
      store.hash(of.parkedKeys(group)).set('', '')
      store.hash(of.dropped(group)).set('', '')
      store.stream(of.log).groups.set(group, { lastDelivered: '0-0', pending: [] })
    }
  }

  #append(partition: number, count: number): void {
    const log = this.#audit.log[partition]!
    const first = log.length + 1
    const of = Array.from({ length: count }, (_, at) => ({
      partition,
      sequence: first + at,
      key: `${partition}-${this.#random.below(this.#plan.keys)}`,
      content: this.#random.below(1_000_000),
    }))
    log.push(...of)
    const keys = this.#keys.partitions[partition]!
    const { store, replicationId, nowMs } = this.#server
    const header = store.hash(keys.header)
    const now = epochNow(header, replicationId, nowMs)
    if (now.opens) openEpoch(header, replicationId, now, nowMs)
    const sequence = String(log.length)
    header.set('sequence', sequence)
    this.#tell(() => `append: ${of.map((one) => `${one.sequence} of ${one.key}`).join(', ')}`)
    const fields = {
      first: String(first),
      time: String(nowMs),
      types: 'notes@1',
      operations: 'p'.repeat(count),
      versions: of.map(() => '1').join(' '),
      keys: of.map(({ key }) => key).join('\n'),
      payloads: of.map(({ key, content }) => JSON.stringify({ content, id: key })).join('\n'),
    }
    this.#server.append(keys.log, `${now.epoch}-${sequence}`, Object.entries(fields).flat())
  }

  #startWorker(): void {
    const { atOnce, latencyMs } = this.#plan
    const network: Network = {
      latencyMs: () =>
        this.#random.chance(atOnce)
          ? 0
          : (this.#random.chance(0.05) ? 20 : 1) * (0.2 + this.#random.below(latencyMs * 10) / 10),
      silentUntil: 0,
      refusedUntil: 0,
    }
    const name = `worker-${++this.#started}`
    const worker = new SimulatedWorker({
      name,
      plan: this.#plan,
      time: this.#time,
      server: this.#server,
      target: this.#target,
      network,
      keys: this.#keys,
      // Of one partition, for the keys of a life are named for theirs, whatever they hash to.
      context: {
        hasher: this.#hasher,
        partitions: 1,
        buckets: bucketsOfPartition,
        collections: new Map([[notes.name, notes]]),
      },
      group,
      onEvent: (event) => {
        this.#audit.told(event)
        this.#events[event.kind] = (this.#events[event.kind] ?? 0) + 1
        this.#tell(() => `${name}: ${JSON.stringify(event)}`)
      },
    })
    this.#workers.push(worker)
    worker.start()
  }

  #trouble(trouble: Trouble): void {
    const { leaseMs, partitions, troubles } = this.#plan
    const { ailments } = this.#target
    const random = this.#random
    const { now } = this.#time
    const worker = random.pick(this.#workers)
    if (!worker) return
    this.#troubles++
    this.#tell(() => `trouble: ${trouble} (${worker.actor.name})`)
    const key = `${random.below(partitions)}-${random.below(this.#plan.keys)}`
    const lasting = (): number => now + random.below(3 * leaseMs)
    const of = this.#keys.partitions[random.below(partitions)]!
    switch (trouble) {
      case 'kill':
        this.#remove(worker)
        worker.kill()
        // Whoever runs workers starts another one.
        this.#time.after(random.below(this.#workers.length === 0 ? 500 : 5_000), () => this.#startWorker())
        if (troubles.length === 1 && this.#plan.latencyMs === 1) this.#expectOwners()
        break
      case 'freeze':
        worker.actor.stoppedUntil = lasting()
        break
      case 'cut':
        worker.cut()
        break
      case 'silence':
        worker.network.silentUntil = lasting()
        break
      case 'refuse connections':
        worker.network.refusedUntil = lasting()
        worker.cut()
        break
      case 'freeze the server':
        this.#server.actor.stoppedUntil = now + random.below(2 * leaseMs)
        break
      case 'set the clock':
        this.#server.clockStepMs += random.between(-3_600_000, 3_600_000)
        break
      case 'forget scripts':
        this.#server.forgetScripts()
        break
      case 'destroy the group':
        this.#server.store.stream(of.log).groups.delete(group)
        break
      case 'fail over':
        // To a replica that has everything: only that it is another server can be told.
        this.#server.replicationId = random.bytes(20).toString('hex')
        this.#server.forgetScripts()
        for (const one of this.#workers) one.cut()
        break
      case 'target down':
        ailments.downUntil = lasting()
        break
      case 'lose calls':
        ailments.loss = 0.2
        break
      case 'reject a key':
        ailments.rejected.add(key)
        ailments.rejectsCalls = random.chance(0.5)
        break
      case 'refuse a key':
        ailments.refused.add(key)
        break
      case 'redrive':
        ailments.rejected.delete(key)
        ailments.refused.delete(key)
        this.#redrive()
        break
      case 'hand over':
        this.#remove(worker)
        worker.stop()
        this.#startWorker()
    }
  }

  #remove(worker: SimulatedWorker): void {
    this.#workers = this.#workers.filter((one) => one !== worker)
  }

  /** Where workers die and nothing else happens, others have taken over in the time that `startWorker` promises. */
  #expectOwners(): void {
    const deaths = this.#troubles
    const withinMs = this.#plan.leaseMs / leaseShare
    if (this.#workers.length === 0) return
    const waiting = (this.#orphaned = new Set(this.#orphans()))
    this.#time.after(withinMs, () => {
      if (this.#troubles !== deaths) return
      for (const partition of waiting)
        this.#audit.breaches.push(
          `partition ${partition}: nobody took it over in ${withinMs} ms after a death`,
        )
    })
  }

  #tookOver(name: string, keys: readonly string[], reply: unknown): void {
    if (name !== 'lease' || (reply as string[])[0] !== 'granted') return
    this.#orphaned.delete(this.#keys.partitions.findIndex((of) => of.group(group) === keys[1]))
  }

  /** Partitions that nobody owns who lives. */
  #orphans(): number[] {
    return [...this.#keys.partitions.keys()].filter((partition) => !this.#isOwned(partition))
  }

  #isOwned(partition: number): boolean {
    const owner = this.#server.store.hash(this.#keys.partitions[partition]!.group(group)).get('owner')
    return this.#workers.some(({ actor }) => actor.name === owner)
  }

  #redrive(): void {
    for (const of of this.#keys.partitions) {
      const parked = this.#server.store.hash(of.parkedKeys(group))
      if (parked.size <= 1) continue
      const fields = [...parked.keys()].filter((field) => field !== '')
      const keys = [of.group(group), of.parkedKeys(group)]
      this.#server.run('eval', [askRedrive, '2', ...keys, 'ask', ...fields])
    }
  }

  /** From here on nothing goes wrong any more. */
  #heal(): void {
    const { ailments } = this.#target
    Object.assign(ailments, { downUntil: 0, loss: 0 })
    ailments.rejected.clear()
    ailments.refused.clear()
    if (this.#workers.length === 0) this.#startWorker()
    if (!this.#plan.lastsOn) {
      for (const { actor, network } of this.#workers) {
        const { now } = this.#time
        actor.stoppedUntil = Math.min(actor.stoppedUntil, now)
        Object.assign(network, { silentUntil: 0, refusedUntil: 0 })
      }
      this.#server.actor.stoppedUntil = 0
    }
    this.#healthySince = this.#time.now
    this.#tell(() => 'nothing is wrong any more')
    this.#await(
      recoveryMsMax,
      () => this.#isDone(),
      () => {
        this.#recoveredAt = this.#time.now
        this.#audit.finished()
        this.#end()
      },
    )
  }

  #end(): void {
    const workers = [...this.#workers]
    for (const worker of workers) worker.stop(() => (this.#changed = true))
    this.#await(
      stopMsMax,
      () => workers.every(({ stopped }) => stopped),
      () => (this.#over = true),
    )
  }

  #await(withinMs: number, isSo: () => boolean, goOn: () => void): void {
    const until = this.#time.now + withinMs
    const awaited = (this.#awaited = { isSo, goOn })
    this.#changed = true
    const hurry = (): void => {
      if (this.#awaited !== awaited) return
      if (this.#time.now > until) this.#audit.breaches.push(this.#unfinished(withinMs))
      this.#redrive()
      this.#time.after(hurryEveryMs, hurry)
    }
    hurry()
  }

  /** Whether what is awaited is so. */
  #look(): void {
    this.#changed = false
    const awaited = this.#awaited
    if (!awaited?.isSo()) return
    this.#awaited = undefined
    awaited.goOn()
  }

  #isDone(): boolean {
    const { store } = this.#server
    return this.#keys.partitions.every((of, partition) => {
      const end = this.#audit.log[partition]!.length
      if (!store.hash(of.group(group)).get('checkpoint')!.endsWith(`-${end}`)) return false
      return store.hash(of.parkedKeys(group)).size === 1 && this.#isOwned(partition)
    })
  }

  #unfinished(withinMs: number): string {
    const partitions = this.#keys.partitions.map((of, partition) => {
      const record = this.#server.store.hash(of.group(group))
      const parked = [...this.#server.store.hash(of.parkedKeys(group)).keys()].filter((field) => field !== '')
      return `partition ${partition}: at ${record.get('checkpoint')} of ${this.#audit.log[partition]!.length}, owned by ${record.get('owner')}, parked ${parked.join(' ') || 'nothing'}`
    })
    return `${withinMs} ms after everything was well it was not finished: ${partitions.join('; ')}`
  }

  #tell(line: () => string): void {
    this.#trace?.(`${this.#time.now.toFixed(1).padStart(9)} ${line()}`)
  }
}
