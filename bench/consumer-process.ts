import { keepHeapSmall } from '../packages/cli/src/heap-growth.ts'
import { microseconds } from './src/clock.ts'
import { percentiles, type Percentiles } from './src/percentiles.ts'
import { serve } from './src/serve.ts'
import type { Addresses } from './src/servers.ts'
import { loadSystem, type Consumer } from './src/system.ts'

let consumer: Consumer | undefined
let latenciesMs: number[] = []

const consumerCalls = {
  /** With `timed` it notes how long each product was under way. That costs something, so it is only done for latencies. */
  async open(name: string, addresses: Addresses, timed: boolean): Promise<void> {
    const system = await loadSystem(name)
    if (system.openConsumer === undefined) throw new Error(`${name} consumes nothing.`)
    consumer = await system.openConsumer(addresses, timed ? noteLatency : undefined)
  },

  async start(): Promise<void> {
    await opened().start()
  },

  async stop(): Promise<void> {
    await opened().stop()
  },

  async caughtUp(products: number): Promise<void> {
    await opened().caughtUp(products)
  },

  /** Forgets what was noted: the machine was still getting warm. */
  forget(): void {
    latenciesMs = []
  },

  /** How long products were under way, in ms. */
  percentiles(): Percentiles {
    return percentiles(latenciesMs)
  },

  /** CPU time of this process so far, in µs. */
  cpu(): number {
    const { user, system } = process.cpuUsage()
    return user + system
  },

  /** As `headwater run` does it. */
  keepHeapSmall,

  /** Memory of this process that is in use now, in bytes. */
  resident(): number {
    return process.memoryUsage.rss()
  },

  async close(): Promise<void> {
    await consumer?.close()
  },
}

export type ConsumerCalls = typeof consumerCalls

serve(consumerCalls)

function noteLatency(sentAt: number): void {
  latenciesMs.push((microseconds() - sentAt) / 1_000)
}

function opened(): Consumer {
  if (consumer === undefined) throw new Error('The consumer was not opened.')
  return consumer
}
