import { HeadwaterError } from '../errors/headwater-error.ts'
import { checkGroupName } from '../group/group-name.ts'
import { groupNames } from '../group/group-status.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import type { RedisClient } from '../redis/connection.ts'
import { pause, persist } from '../redis/persist.ts'
import { readSteering, steeringFields, type SteeringState } from './steering-state.ts'

export interface PartitionChoice {
  /** Default: all of them. */
  readonly partition?: number
}

export interface GroupSettings {
  /**
   * How many calls of one partition may be at the sink at once, at most what the sink declares; `default` goes back to what
   * the workers were started with.
   */
  readonly concurrency?: number | 'default'
  /** At most so many changes a second, each partition its even share; `default` is without a limit. */
  readonly changesPerSecond?: number | 'default'
}

export interface DrainOptions {
  /** How long to wait until the worker holds nothing any more, in ms. Default 30,000. */
  readonly timeoutMs?: number
}

const lookMs = 50

/**
 * Steers workers at run time, from any process. What is asked for is kept in Redis until it is taken back, also over
 * restarts; workers see it at their next heartbeat, at most a second later.
 */
export class Steering {
  readonly #parts: LogParts

  /** @internal */
  constructor(parts: LogParts) {
    this.#parts = parts
  }

  /** What is steered now. */
  async state(): Promise<SteeringState> {
    return await this.#run('reading how groups are steered', (client) =>
      readSteering(client, this.#parts.keys),
    )
  }

  /**
   * Gives nothing more to the group's sink, in one partition or all of them. What is at the sink is finished; leases stay.
   *
   * @throws HeadwaterError GROUP_UNKNOWN, OPTION_INVALID
   */
  async pause(group: string, { partition }: PartitionChoice = {}): Promise<void> {
    await this.#check(group, partition)
    await this.#set({ [steeringFields.paused(group, partition)]: Date.now() })
  }

  /**
   * Takes `pause` back: of one partition, or of the group and all its partitions. A partition of a group that is paused as a
   * whole stays paused.
   *
   * @throws HeadwaterError GROUP_UNKNOWN, OPTION_INVALID
   */
  async resume(group: string, { partition }: PartitionChoice = {}): Promise<void> {
    const { keys } = this.#parts
    await this.#check(group, partition)
    const all = [undefined, ...keys.partitions.keys()]
    const of = partition === undefined ? all : [partition]
    await this.#remove(of.map((each) => steeringFields.paused(group, each)))
  }

  /**
   * Changes how fast a group works.
   *
   * @throws HeadwaterError GROUP_UNKNOWN, OPTION_INVALID
   */
  async set(group: string, { concurrency, changesPerSecond }: GroupSettings): Promise<void> {
    await this.#check(group, undefined)
    if (concurrency === undefined && changesPerSecond === undefined) {
      throw new HeadwaterError('OPTION_INVALID', 'Give concurrency, changesPerSecond, or both.')
    }
    checkSetting('concurrency', concurrency, Number.isInteger(concurrency))
    checkSetting('changesPerSecond', changesPerSecond, Number.isFinite(changesPerSecond))
    const given = [
      [steeringFields.concurrency(group), concurrency],
      [steeringFields.rate(group), changesPerSecond],
    ] as const
    const values = given.filter((each): each is readonly [string, number] => typeof each[1] === 'number')
    if (values.length > 0) await this.#set(Object.fromEntries(values))
    await this.#remove(given.filter(([, value]) => value === 'default').map(([field]) => field))
  }

  /**
   * Lets a worker hand over all its partitions, which the others take, and stay idle until `undrain`. Resolves when it holds
   * none any more.
   *
   * @param worker its name, as `status` and `worker.name` show it
   * @throws HeadwaterError WORKER_UNKNOWN, WAIT_TIMEOUT while it goes on handing over
   */
  async drain(worker: string, { timeoutMs = 30_000 }: DrainOptions = {}): Promise<void> {
    const { drained } = await this.state()
    if (!Object.hasOwn(drained, worker)) {
      const live = await this.#liveWorkers()
      if (!live.has(worker)) {
        const names = [...live].join(', ') || 'none'
        throw new HeadwaterError(
          'WORKER_UNKNOWN',
          `No live worker is called ${JSON.stringify(worker)}; there are: ${names}.`,
        )
      }
      await this.#set({ [steeringFields.drained(worker)]: Date.now() })
    }
    const endsAt = performance.now() + timeoutMs
    for (;;) {
      const held = await this.#heldBy(worker)
      if (held === 0) return
      if (performance.now() > endsAt) {
        throw new HeadwaterError(
          'WAIT_TIMEOUT',
          `${worker} still holds ${held} partitions after ${timeoutMs} ms; it goes on handing them over.`,
        )
      }
      await pause(lookMs)
    }
  }

  /** Lets a drained worker take its share again. Without effect where it is not drained. */
  async undrain(worker: string): Promise<void> {
    await this.#remove([steeringFields.drained(worker)])
  }

  async #check(group: string, partition: number | undefined): Promise<void> {
    const { connection, keys, deadlineMs, namespace } = this.#parts
    checkGroupName(group)
    if (partition !== undefined && !(partition in keys.partitions)) {
      throw new HeadwaterError(
        'OPTION_INVALID',
        `Partition ${String(partition)} does not exist; this log has 0 to ${keys.partitions.length - 1}.`,
      )
    }
    const names = await groupNames(connection, keys, deadlineMs)
    if (names.includes(group)) return
    throw new HeadwaterError(
      'GROUP_UNKNOWN',
      `No group ${JSON.stringify(group)} is registered at namespace ${JSON.stringify(namespace)}; there are: ${names.join(', ') || 'none'}.`,
    )
  }

  async #liveWorkers(): Promise<Set<string>> {
    const { connection, keys, deadlineMs } = this.#parts
    const groups = await groupNames(connection, keys, deadlineMs)
    const members = await this.#run('reading who works', async (client) => {
      const [seconds] = await client.time()
      const now = Number(seconds) * 1_000
      return await Promise.all(groups.map((group) => client.zrangebyscore(keys.members(group), now, '+inf')))
    })
    return new Set(members.flat().toSorted())
  }

  /** Partitions of which a worker has the lease, of whatever group. */
  async #heldBy(worker: string): Promise<number> {
    const { connection, keys, deadlineMs } = this.#parts
    const groups = await groupNames(connection, keys, deadlineMs)
    const leases = await this.#run('reading who owns what', (client) =>
      Promise.all(
        groups.flatMap((group) => keys.partitions.map((of) => client.hget(of.group(group), 'owner'))),
      ),
    )
    return leases.filter((owner) => owner === worker).length
  }

  #set(fields: Readonly<Record<string, number>>): Promise<unknown> {
    return this.#run('steering', (client) => client.hset(this.#parts.keys.steering, fields))
  }

  async #remove(fields: readonly string[]): Promise<void> {
    if (fields.length === 0) return
    await this.#run('steering', (client) => client.hdel(this.#parts.keys.steering, ...fields))
  }

  #run<T>(doing: string, command: (client: RedisClient) => Promise<T>): Promise<T> {
    const { connection, deadlineMs } = this.#parts
    return persist(connection, { doing, deadlineMs }, command)
  }
}

function checkSetting(name: string, value: number | 'default' | undefined, valid: boolean): void {
  if (value === undefined || value === 'default' || (valid && value > 0 && value <= 1_000_000)) return
  throw new HeadwaterError('OPTION_INVALID', `${name} ${String(value)} must be above 0, or "default".`)
}
