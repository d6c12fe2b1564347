import type { Product } from './product.ts'
import type { Addresses, ServerName } from './servers.ts'

/** Something that carries products from one process to another: Headwater, or a peer. One file of `systems/` each. */
export interface System {
  /** Also the name of its file. */
  readonly name: string
  /** Version and settings, for RESULTS.md: the best that we found. */
  readonly settings: string
  readonly needs: readonly ServerName[]
  /** npm packages whose versions count. */
  readonly packages: readonly string[]
  /** How many it is given to carry in one measurement: a few seconds' worth. */
  readonly messages: number
  /** How a producer that is in a hurry sends. */
  readonly sending: Sending
  /** Empties the servers and creates what the system needs there. */
  reset(addresses: Addresses): Promise<void>
  openProducer(addresses: Addresses): Promise<Producer>
  /** Undefined for what only sends. */
  readonly openConsumer?: (addresses: Addresses, onSentAt: OnSentAt | undefined) => Promise<Consumer>
  /** Whether what was sent while nobody consumed waits for the next who does. */
  readonly keepsBacklog: boolean
}

export interface Sending {
  /** Products handed over in one call. */
  readonly together: number
  /** Calls under way at any time. */
  readonly inFlight: number
}

/** Told when a product that was sent at this time has arrived; undefined when nobody wants to know. */
export type OnSentAt = (sentAt: number) => void

export interface Producer<Encoded = unknown> {
  /** What can be done before the clock runs. Where it is missing, `send` takes the products. */
  readonly encode?: (products: readonly Product[]) => Encoded
  /** Settles when the system has confirmed them. */
  send(products: Encoded): Promise<unknown>
  close(): Promise<void>
}

export interface Consumer {
  /** Settles when it consumes. */
  start(): Promise<void>
  /** Settles when it consumes no more; `start` goes on where it stopped. */
  stop(): Promise<void>
  /** Settles when so many products have been consumed since the reset, and acknowledged where the system does that. */
  caughtUp(products: number): Promise<void>
  close(): Promise<void>
}

/** The system of this name, in whatever process. */
export async function loadSystem(name: string): Promise<System> {
  const { system } = (await import(`../systems/${name}.ts`)) as { system: System }
  return system
}
