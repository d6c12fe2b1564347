import type { Redis } from 'ioredis'
import { Connection, type RedisClient } from '../redis/connection.ts'
import { LiveLink } from './live-link.ts'

export interface LiveChannelsOptions {
  /** To the log: on a Cluster it tells where the channels are. */
  readonly connection: Connection
  readonly openConnection: (purpose: string) => Connection
  /** By partition. */
  readonly channels: readonly string[]
  readonly onMessage: (partition: number, message: Buffer) => void
  /** From now on messages of these partitions may be missed. */
  readonly onLost: (partitions: readonly number[]) => void
  /** From now on none is missed while the connection lasts. */
  readonly onHeard: (partitions: readonly number[]) => void
}

/**
 * Hears the channels of all partitions: over one connection, or on a Cluster over one to each master, since a channel is
 * heard where its slot is.
 */
export class LiveChannels {
  readonly #options: LiveChannelsOptions
  /** By the address of the node; by the empty text where there is only one. */
  readonly #links = new Map<string, LiveLink>()
  readonly #slots = new Map<number, number>()
  #closed = false

  constructor(options: LiveChannelsOptions) {
    this.#options = options
  }

  /** Opens what is missing, moves what is elsewhere now, and replaces connections that are open but dead. */
  async check(): Promise<void> {
    const { connection } = this.#options
    const nodes = await connection.attempt((client) => this.#nodes(client), 3_000)
    if (this.#closed) return
    for (const [address, link] of this.#links) {
      if (nodes.has(address)) continue
      this.#links.delete(address)
      link.close()
    }
    for (const [address, { node, partitions }] of nodes) {
      const link = this.#links.get(address)
      if (link && sameNumbers(link.partitions, partitions)) {
        link.check()
        continue
      }
      link?.close()
      this.#links.set(address, this.#open(node, partitions))
    }
  }

  close(): void {
    this.#closed = true
    for (const link of this.#links.values()) link.close()
    this.#links.clear()
  }

  #open(node: Redis | undefined, partitions: readonly number[]): LiveLink {
    const { openConnection, channels, onMessage, onLost, onHeard } = this.#options
    return new LiveLink({
      connection: node ? new Connection(() => duplicateOf(node)) : openConnection('feed'),
      channels: new Map(partitions.map((partition) => [channels[partition]!, partition])),
      onMessage,
      onLost: () => onLost(partitions),
      onHeard: () => onHeard(partitions),
    })
  }

  async #nodes(
    client: RedisClient,
  ): Promise<Map<string, { readonly node: Redis | undefined; readonly partitions: number[] }>> {
    const { channels } = this.#options
    if (!('slots' in client)) return new Map([['', { node: undefined, partitions: [...channels.keys()] }]])
    const nodes = new Map<string, { node: Redis; partitions: number[] }>()
    const masters = new Map(client.nodes('master').map((node) => [addressOf(node), node]))
    for (const [partition, channel] of channels.entries()) {
      let slot = this.#slots.get(partition)
      if (slot === undefined) this.#slots.set(partition, (slot = await client.cluster('KEYSLOT', channel)))
      const address = client.slots[slot]?.[0] ?? ''
      const node = masters.get(address)
      // A slot without a known master now: its channel is heard again when the Cluster has mended.
      if (!node) continue
      const of = nodes.get(address)
      if (of) of.partitions.push(partition)
      else nodes.set(address, { node, partitions: [partition] })
    }
    return nodes
  }
}

function addressOf({ options: { host, port } }: Redis): string {
  return `${host}:${port}`
}

/** A Cluster's own connection to a node does not come back by itself, and queues what it cannot send. */
function duplicateOf(node: Redis): Redis {
  return node.duplicate({
    lazyConnect: false,
    enableOfflineQueue: false,
    autoResubscribe: false,
    readOnly: false,
    retryStrategy: (times: number) => Math.min(20 * 2 ** Math.min(times, 6), 500),
    connectionName: node.options.connectionName ? `${node.options.connectionName}:feed` : 'headwater:feed',
  })
}

function sameNumbers(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((number, at) => number === b[at])
}
