import type { Change } from '../change/change.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Lease, LeaseRequest } from '../group/lease.ts'
import { parkEntry } from '../parking/park-entry.ts'
import { park, type ParkingBounds } from '../parking/park.ts'
import { parkedField } from '../parking/parked-key.ts'
import { backoffMs, type Backoff } from '../redis/backoff.ts'
import { Fenced } from './partition-end.ts'
import type { PartitionLife } from './partition-life.ts'
import type { PartitionObserver } from './partition-observer.ts'
import type { WorkerEvent } from './worker-event.ts'
import type { WithinLease } from './within-lease.ts'

export interface AsideOptions {
  readonly partition: number
  readonly request: LeaseRequest
  readonly lease: Lease
  readonly observer: PartitionObserver
  readonly parking: ParkingBounds
  readonly onEvent: (event: WorkerEvent) => void
  readonly persist: WithinLease
  readonly life: PartitionLife
}

/** Changes that are parked by one call. */
const atOnce = 100
const betweenTries: Backoff = { firstMs: 50, maxMs: 1_000 }

/** What is parked of one partition, the way there, and whether there is room for more. */
export class Aside {
  readonly #options: AsideOptions
  readonly #fields: Set<string>
  /** Calls that wait for room. */
  #waiting = 0

  /** @param fields of the keys that are parked already */
  constructor(options: AsideOptions, fields: readonly string[]) {
    this.#options = options
    this.#fields = new Set(fields.filter((field) => field !== ''))
  }

  /** No key is parked. */
  get none(): boolean {
    return this.#fields.size === 0
  }

  /** There is no room: nothing new may be offered to the sink until there is. */
  get full(): boolean {
    return this.#waiting > 0
  }

  has(field: string): boolean {
    return this.#fields.has(field)
  }

  /** Its key is not parked any more. */
  delete(field: string): void {
    this.#fields.delete(field)
  }

  /**
   * Sets changes of one key aside, and waits for room where there is none.
   *
   * @param behind only behind what is parked of the key already: `absent` where nothing is any more
   * @returns `ending` where the partition is given up before
   */
  async setAside(
    all: readonly Change[],
    error: HeadwaterError,
    behind: boolean,
  ): Promise<'aside' | 'absent' | 'ending'> {
    const { request, lease, partition, onEvent, observer, parking, persist, life } = this.#options
    const [{ collection, key }] = all as [Change]
    const field = parkedField(collection, key)
    let aside = 0
    let added = 0
    let stoodStill = false
    for (let attempt = 1; aside < all.length; attempt++) {
      const changes = all.slice(aside, aside + atOnce)
      const answer = await persist('parking a key', (client) =>
        park(client, request, lease.token, { changes, error, behind, bounds: parking }),
      )
      if (answer.kind === 'fenced') throw new Fenced()
      if (answer.kind === 'absent') {
        this.#fields.delete(field)
        if (stoodStill) await this.#goOn()
        return 'absent'
      }
      aside += answer.aside
      added += answer.added
      if (!answer.full) continue
      if (!stoodStill) await this.#standStill(key, answer.full)
      stoodStill = true
      await this.#waitForRoom(attempt)
      if (life.ending) return 'ending'
    }
    if (stoodStill) await this.#goOn()
    this.#fields.add(field)
    observer.parked(added)
    onEvent({ kind: 'parked', group: request.group, partition, key, changes: all.length, error })
    return 'aside'
  }

  /** Sets an entry aside that cannot be decoded; false where the partition is given up before. */
  async setEntryAside(id: string, unreadable: HeadwaterError): Promise<boolean> {
    const { request, lease, partition, onEvent, observer, parking, persist, life } = this.#options
    const why = unreadable.message.replace(` [${unreadable.code}]`, '')
    const error = new HeadwaterError('CHANGE_UNREADABLE', why)
    let stoodStill = false
    for (let attempt = 1; !life.ending; attempt++) {
      const answer = await persist('parking an entry', (client) =>
        parkEntry(client, request, lease.token, parking, id, error),
      )
      if (answer === 'fenced') throw new Fenced()
      if (answer !== 'keys') {
        if (stoodStill) await this.#goOn()
        if (answer === 'known') return true
        observer.parked(1)
        onEvent({ kind: 'parked', group: request.group, partition, key: `#${id}`, changes: 1, error })
        return true
      }
      if (!stoodStill) await this.#standStill(id, 'keys')
      stoodStill = true
      await this.#waitForRoom(attempt)
    }
    return false
  }

  async #standStill(key: string, full: 'keys' | 'queue'): Promise<void> {
    this.#waiting++
    if (this.#waiting > 1) return
    const { request, partition, parking, onEvent, observer, persist } = this.#options
    const { group } = request
    const what =
      full === 'keys'
        ? `${parking.keys} keys parked`
        : `${parking.changesOfKey} changes of ${JSON.stringify(key.slice(0, 100))} parked`
    const error = new HeadwaterError(
      'PARKING_FULL',
      `Group ${group} has ${what} in partition ${partition}, as many as it may: feed back or drop some.`,
    )
    onEvent({ kind: 'standstill', group, partition, error })
    observer.stoodStill(error.message)
    await persist('telling that there is no room to park', (client) =>
      client.hset(request.keys.group(group), 'standstill', error.message),
    )
  }

  /** Until it is time to try again, or the partition is given up. */
  async #waitForRoom(attempt: number): Promise<void> {
    const { life } = this.#options
    const until = performance.now() + backoffMs(betweenTries, attempt)
    for (let left = until - performance.now(); left > 0 && !life.ending; left = until - performance.now())
      await life.changed.wait(left)
  }

  async #goOn(): Promise<void> {
    this.#waiting--
    if (this.#waiting > 0) return
    const { request, partition, onEvent, observer, persist, life } = this.#options
    observer.stoodStill(undefined)
    await persist('telling that there is room to park again', (client) =>
      client.hdel(request.keys.group(request.group), 'standstill'),
    )
    onEvent({ kind: 'going-on', group: request.group, partition })
    life.changed.notify()
  }
}
