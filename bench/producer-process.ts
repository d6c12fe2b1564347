import { setTimeout as delay } from 'node:timers/promises'
import { makeProduct, productKeys } from './src/product.ts'
import { serve } from './src/serve.ts'
import type { Addresses } from './src/servers.ts'
import { loadSystem, type Producer, type Sending } from './src/system.ts'

let producer: Producer | undefined
/** What each call of `send` is given. */
let prepared: unknown[] = []

const producerCalls = {
  async open(system: string, addresses: Addresses): Promise<void> {
    producer = await (await loadSystem(system)).openProducer(addresses)
  },

  /** Makes products, and does with them what can be done before the clock runs. */
  prepare(from: number, count: number, bytes: number, { together }: Sending): void {
    prepared = []
    for (let at = 0; at < count; at += together)
      prepared.push(makeLoad(from + at, Math.min(together, count - at), bytes, productKeys))
  },

  /** Sends what was prepared as fast as the system takes it. Settles when all of it is confirmed. */
  async sendAll({ inFlight }: Sending): Promise<void> {
    const left = prepared.values()
    const sendNext = async (): Promise<void> => {
      for (const load of left) await opened().send(load)
    }
    await Promise.all(Array.from({ length: inFlight }, sendNext))
  },

  /**
   * Sends at a rate, whether the system keeps up or not, then waits for what is not confirmed. No key comes twice, so that
   * each product is seen to arrive, and none is superseded on the way.
   *
   * @returns how far it fell behind its schedule at worst, in ms
   */
  async sendAtRate(from: number, count: number, perSecond: number, bytes: number): Promise<number> {
    const startedAt = performance.now()
    const confirmed: Promise<unknown>[] = []
    let sent = 0
    let behindMs = 0
    while (sent < count) {
      const elapsedMs = performance.now() - startedAt
      const due = Math.min(count, Math.floor((elapsedMs / 1_000) * perSecond)) - sent
      if (due > 0) {
        behindMs = Math.max(behindMs, (due / perSecond) * 1_000)
        confirmed.push(opened().send(makeLoad(from + sent, due, bytes, Infinity)))
        sent += due
      }
      await delay(1)
    }
    await Promise.all(confirmed)
    return behindMs
  },

  async close(): Promise<void> {
    await producer?.close()
  },
}

export type ProducerCalls = typeof producerCalls

serve(producerCalls)

function makeLoad(from: number, count: number, bytes: number, keys: number): unknown {
  const products = Array.from({ length: count }, (_, index) => makeProduct((from + index) % keys, bytes))
  return opened().encode?.(products) ?? products
}

function opened(): Producer {
  if (producer === undefined) throw new Error('The producer was not opened.')
  return producer
}
