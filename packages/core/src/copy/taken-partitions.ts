import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { releaseLease, renewLease, takeLease, type Lease, type LeaseRequest } from '../group/lease.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { persist } from '../redis/persist.ts'
import type { Fence } from '../sink/sink.ts'

const leaseMs = 10_000

/**
 * Partitions of a group that a command has for itself for a moment: their workers are fenced, and come back when the command
 * releases them, or when its leases run out because it died.
 */
export class TakenPartitions implements AsyncDisposable {
  /** By partition. */
  readonly leases: ReadonlyMap<number, Lease>
  readonly #parts: LogParts
  readonly #group: string
  readonly #owner: string
  readonly #renewing: NodeJS.Timeout

  private constructor(parts: LogParts, group: string, owner: string, leases: ReadonlyMap<number, Lease>) {
    this.#parts = parts
    this.#group = group
    this.#owner = owner
    this.leases = leases
    this.#renewing = setInterval(() => void this.#renew(), leaseMs / 3)
    this.#renewing.unref()
  }

  /**
   * @param doing a word for the owner's name, such as `rebuild`
   * @throws HeadwaterError GROUP_TAKEN when another command has one of them, GROUP_UNKNOWN
   */
  static async take(
    parts: LogParts,
    group: string,
    partitions: readonly number[],
    doing: string,
  ): Promise<TakenPartitions> {
    const owner = `${doing}-${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`
    const leases = new Map<number, Lease>()
    const taken = new TakenPartitions(parts, group, owner, leases)
    try {
      for (const partition of partitions) leases.set(partition, await taken.#takeOne(partition))
      return taken
    } catch (error) {
      await taken[Symbol.asyncDispose]()
      throw error
    }
  }

  fence(partition: number): Fence {
    const { epoch, token, owner } = this.leases.get(partition)!
    return { epoch, token, owner }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#renewing)
    for (const [partition, { token }] of this.leases) {
      await this.#parts.connection
        .attempt((client) => releaseLease(client, this.#request(partition), token), 1_000)
        .catch(() => {
          // It runs out by itself.
        })
    }
  }

  async #takeOne(partition: number): Promise<Lease> {
    const { connection, deadlineMs, namespace } = this.#parts
    const options = { doing: `taking partition ${partition} of the group ${this.#group}`, deadlineMs }
    const answer = await persist(connection, options, (client) => takeLease(client, this.#request(partition)))
    if (answer.kind === 'granted') return answer.lease
    if (answer.kind === 'held') {
      throw new HeadwaterError(
        'GROUP_TAKEN',
        `${answer.owner} has partition ${partition} of group ${this.#group} for itself: wait until it is done.`,
      )
    }
    throw new HeadwaterError(
      'GROUP_UNKNOWN',
      `No group ${JSON.stringify(this.#group)} is registered in partition ${partition} of namespace ${JSON.stringify(namespace)}.`,
    )
  }

  /** What was lost is noticed where it counts: by the fences. */
  async #renew(): Promise<void> {
    const { connection } = this.#parts
    await Promise.all(
      [...this.leases].map(([partition, { token }]) =>
        connection
          .attempt((client) => renewLease(client, this.#request(partition), token), 1_000)
          .catch(() => {}),
      ),
    )
  }

  #request(partition: number): LeaseRequest {
    return { keys: this.#parts.keys.partitions[partition]!, group: this.#group, owner: this.#owner, leaseMs }
  }
}
