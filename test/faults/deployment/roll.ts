import type { OwnRedisServer } from '@headwater/local-servers'

/** Keeps which servers a fault has killed, and makes them run again. */
export class Roll {
  readonly #servers: readonly OwnRedisServer[]
  readonly #dead = new Set<number>()

  constructor(servers: readonly OwnRedisServer[]) {
    this.#servers = servers
  }

  died(index: number): void {
    this.#dead.add(index)
  }

  async revive(): Promise<void> {
    for (const index of this.#dead) await this.#servers[index]!.restart()
    this.#dead.clear()
  }
}
