import type { Redis } from 'ioredis'
import type { Connection, RedisClient } from '../redis/connection.ts'
import { pause } from '../redis/persist.ts'

export interface LiveLinkOptions {
  /** Used for nothing else, and closed with the link. */
  readonly connection: Connection
  /** Channel → partition. */
  readonly channels: ReadonlyMap<string, number>
  readonly onMessage: (partition: number, message: Buffer) => void
  readonly onLost: () => void
  readonly onHeard: () => void
}

const subscribeMs = 3_000
const againMs = 100
const messageEvents = ['messageBuffer', 'smessageBuffer'] as const
/** `moved`: the server took a channel away, because its slot went to another node. */
const lossEvents = ['close', 'end', 'moved'] as const

/** Channels heard over one connection to one node, subscribed again whenever that connection is lost. */
export class LiveLink {
  readonly #options: LiveLinkOptions
  #closed = false
  #subscribed = false

  constructor(options: LiveLinkOptions) {
    this.#options = options
    void this.#run()
  }

  get partitions(): readonly number[] {
    return [...this.#options.channels.values()]
  }

  /** A connection that is open but dead gives no sign: it is asked for one, and replaced when it gives none. */
  check(): void {
    if (!this.#subscribed) return
    this.#options.connection.attempt((client) => (client as Redis).ping(), subscribeMs).catch(() => {})
  }

  close(): void {
    this.#closed = true
    this.#options.connection.close()
  }

  async #run(): Promise<void> {
    const { connection, onHeard, onLost } = this.#options
    while (!this.#closed) {
      try {
        const { ended } = await connection.attempt((client) => this.#subscribe(client), subscribeMs)
        this.#subscribed = true
        onHeard()
        await ended
      } catch {
        // Not connected, or the channel's slot is elsewhere now. Meanwhile the heads are looked at every second.
        await pause(againMs)
      }
      this.#subscribed = false
      if (!this.#closed) onLost()
    }
  }

  async #subscribe(client: RedisClient): Promise<{ readonly ended: Promise<void> }> {
    const { channels, onMessage } = this.#options
    const redis = client as Redis
    const hear = (channel: Buffer, message: Buffer): void => {
      const partition = channels.get(channel.toString())
      if (partition !== undefined) onMessage(partition, message)
    }
    const { promise: ended, resolve } = withResolver()
    const end = (): void => {
      for (const event of lossEvents) redis.off(event, end)
      for (const event of messageEvents) redis.off(event, hear)
      resolve()
    }
    for (const event of lossEvents) redis.on(event, end)
    for (const event of messageEvents) redis.on(event, hear)
    try {
      await this.#subscribeAll(redis)
    } catch (error) {
      end()
      throw error
    }
    return { ended }
  }

  async #subscribeAll(redis: Redis): Promise<void> {
    const channels = [...this.#options.channels.keys()]
    try {
      // One by one: on a Cluster the channels of one command must share a slot.
      await Promise.all(channels.map((channel) => redis.ssubscribe(channel)))
    } catch (error) {
      // Before Redis 7, the append script publishes the other way too.
      if (!(error instanceof Error && /unknown command/i.test(error.message))) throw error
      await redis.subscribe(...channels)
    }
  }
}

function withResolver(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve!: () => void
  const promise = new Promise<void>((settle) => (resolve = settle))
  return { promise, resolve }
}
