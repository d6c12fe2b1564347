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

  /** @param prepare what is done with each of them before it runs again */
  async revive(prepare?: (server: OwnRedisServer) => void): Promise<void> {
    for (const index of this.#dead) {
      prepare?.(this.#servers[index]!)
      await this.#servers[index]!.restart()
    }
    this.#dead.clear()
  }
}
