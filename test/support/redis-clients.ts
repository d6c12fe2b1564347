import { startProxy, type RedisServer, type TcpProxy } from '@headwater/local-servers'
import { Redis, type RedisOptions } from 'ioredis'

/** Clients of one server, some of them behind links that can be cut, to be closed together. */
export class RedisClients {
  readonly #server: RedisServer
  readonly #clients: Redis[] = []
  readonly #links: TcpProxy[] = []

  constructor(server: RedisServer) {
    this.#server = server
  }

  connect(options: RedisOptions = {}): Redis {
    const client = new Redis({ ...this.#server.options, ...options })
    this.#clients.push(client)
    return client
  }

  async connectByLink(): Promise<{ client: Redis; link: TcpProxy }> {
    const link = await startProxy(this.#server.options)
    this.#links.push(link)
    const client = this.connect({ ...link.address, retryStrategy: () => 10 })
    // The breaks are wanted; without a listener ioredis would print them.
    client.on('error', () => {})
    return { client, link }
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.disconnect()
    for (const link of this.#links) await link.stop()
  }
}
