import type { LeaseRequest } from '../group/lease.ts'
import type { Connection } from '../redis/connection.ts'
import type { LostHistory } from './standing.ts'
import type { WithinLease } from './within-lease.ts'
import type { WorkerEvent } from './worker-event.ts'

export interface TellLostOptions {
  readonly request: LeaseRequest
  readonly partition: number
  readonly connection: Connection
  readonly persist: WithinLease
  readonly onEvent: (event: WorkerEvent) => void
}

/** Tells of lost history once, however many loops and workers find it: what was told is kept beside the group. */
export async function tellLost(options: TellLostOptions, { epoch, from, to }: LostHistory): Promise<void> {
  const { request, partition, connection, persist, onEvent } = options
  const { group, keys } = request
  const key = keys.group(group)
  const what = `${from}-${to} of epoch ${epoch}`
  const told = await persist('reading what was lost', (client) => client.hget(key, 'lost'))
  if (told === what) return
  onEvent({ kind: 'history-lost', group, partition, epoch, from, to })
  await connection
    .attempt((client) => client.hset(key, 'lost', what), 1_000)
    .catch(() => {
      // Told as an event at least.
    })
}
