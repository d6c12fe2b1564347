import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis, type RedisOptions } from 'ioredis'
import type { Links } from '../links.ts'
import { fixAppendOnlyFile } from './append-only-file.ts'
import type { Deployment } from './deployment.ts'
import { Roll } from './roll.ts'

/** One server that keeps an append-only file. */
export class Single implements Deployment {
  readonly name = 'single'
  readonly durability = 'disk'
  readonly replicas = 0
  readonly servers: readonly OwnRedisServer[]
  readonly roll: Roll

  private constructor(server: OwnRedisServer) {
    this.servers = [server]
    this.roll = new Roll(this.servers)
  }

  /** @param under see `startRedis` */
  static async start(dir: string, under: readonly string[]): Promise<Single> {
    // With `everysec` the server holds its file back while the disk is busy, and a kill loses what was acknowledged.
    const config = { appendonly: 'yes', appendfsync: 'always' }
    return new Single(await startRedis({ own: true, dir, config, under }))
  }

  get target(): RedisOptions {
    return this.servers[0]!.options
  }

  through(links: Links): RedisOptions {
    return { ...this.target, ...links.proxies[0]!.address }
  }

  openClient(): Redis {
    return new Redis({ ...this.target, protocol: 2, retryStrategy: () => 20 })
  }

  masters(): Promise<readonly number[]> {
    return Promise.resolve([0])
  }

  async mend(): Promise<void> {
    // As docs/guarantees.md asks for.
    await this.roll.revive(fixAppendOnlyFile)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.servers[0]!.stop()
  }
}
