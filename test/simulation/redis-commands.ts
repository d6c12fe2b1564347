import { EventEmitter } from 'node:events'
import type { RedisClient } from '../../packages/core/src/redis/connection.ts'

type Argument = string | number

export interface Settle {
  readonly resolve: (reply: unknown) => void
  readonly reject: (error: Error) => void
}

/** As much of an ioredis client as workers use, wherever its commands go. */
export abstract class RedisCommands extends EventEmitter {
  protected abstract send(name: string, args: readonly Argument[], settle: Settle): void

  /** What scripts are sent by. */
  sendCommand({
    name,
    args,
    resolve,
    reject,
  }: Settle & { readonly name: string; readonly args: readonly Argument[] }): void {
    this.send(name, args, { resolve, reject })
  }

  hgetall(...args: Argument[]): Promise<unknown> {
    return this.#ask('hgetall', args)
  }

  hget(...args: Argument[]): Promise<unknown> {
    return this.#ask('hget', args)
  }

  hmget(...args: Argument[]): Promise<unknown> {
    return this.#ask('hmget', args)
  }

  hkeys(...args: Argument[]): Promise<unknown> {
    return this.#ask('hkeys', args)
  }

  hset(...args: Argument[]): Promise<unknown> {
    return this.#ask('hset', args)
  }

  hdel(...args: Argument[]): Promise<unknown> {
    return this.#ask('hdel', args)
  }

  time(): Promise<unknown> {
    return this.#ask('time', [])
  }

  xrange(...args: Argument[]): Promise<unknown> {
    return this.#ask('xrange', args)
  }

  xinfo(...args: Argument[]): Promise<unknown> {
    return this.#ask('xinfo', args)
  }

  xpending(...args: Argument[]): Promise<unknown> {
    return this.#ask('xpending', args)
  }

  xgroup(...args: Argument[]): Promise<unknown> {
    return this.#ask('xgroup', args)
  }

  xreadgroup(...args: Argument[]): Promise<unknown> {
    return this.#ask('xreadgroup', args)
  }

  client(...args: Argument[]): Promise<unknown> {
    return this.#ask('client', args)
  }

  #ask(name: string, args: readonly Argument[]): Promise<unknown> {
    return new Promise((resolve, reject) => this.send(name, args, { resolve, reject }))
  }
}

export function asRedisClient(client: RedisCommands): RedisClient {
  return client as unknown as RedisClient
}
