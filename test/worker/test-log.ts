import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import {
  connect,
  type AppendResult,
  type ConnectOptions,
  type Log,
  type PartitionStatus,
} from '@headwater/core'
import type { Redis, RedisOptions } from 'ioredis'
import { eventually } from '../support/eventually.ts'

/** A log of notes in a namespace of its own. */
export function openTestLog(target: RedisOptions, options: Partial<ConnectOptions> = {}): Promise<Log> {
  return connect(target, { namespace: randomUUID(), collections: [notes], partitions: 1, ...options })
}

/** Appends one after the other, so that each change is a batch of its own. */
export async function appendEach(
  log: Log,
  contents: readonly number[],
  key: (content: number) => string = () => 'lamp',
): Promise<AppendResult[]> {
  const results: AppendResult[] = []
  for (const content of contents) results.push(await log.append(notes.put({ id: key(content), content })))
  return results
}

export async function statusOf(log: Log, group: string, partition = 0): Promise<PartitionStatus> {
  const status = (await log.groups()).find((one) => one.group === group && one.partition === partition)
  if (status) return status
  throw new Error(`No group ${group} is registered.`)
}

/** Waits until a group has nothing left to do: nothing behind its checkpoint, nothing unacknowledged. */
export async function drained(log: Log, group: string, timeoutMs = 10_000): Promise<void> {
  await eventually(
    async () => {
      const open = (await log.groups()).filter(
        (status) => status.group === group && (status.lag > 0 || status.pending > 0),
      )
      if (open.length > 0) throw new Error(`Not drained: ${JSON.stringify(open)}`)
    },
    { timeoutMs },
  )
}

/** Keys of one partition of a log, by the names that `docs/keys.md` gives them. */
export function partitionKeys(
  { namespace }: Log,
  group: string,
  partition = 0,
): Record<'header' | 'log' | 'group' | 'parkedKeys' | 'parked', string> {
  const prefix = `headwater:{${namespace}:${partition}}`
  return {
    header: `${prefix}:header`,
    log: `${prefix}:log`,
    group: `${prefix}:group:${group}`,
    parkedKeys: `${prefix}:parked-keys:${group}`,
    parked: `${prefix}:parked:${group}`,
  }
}

/** What a connection does, as `CLIENT LIST` shows it. */
export interface ListedClient {
  readonly name: string
  readonly command: string
  readonly blocked: boolean
  readonly idleSeconds: number
}

export async function listClients(client: Redis): Promise<ListedClient[]> {
  return parseClients((await client.call('CLIENT', 'LIST')) as string)
}

export function parseClients(list: string): ListedClient[] {
  return list
    .trim()
    .split('\n')
    .map((line) => {
      const of = new Map(
        line
          .split(' ')
          .map((field) => [field.slice(0, field.indexOf('=')), field.slice(field.indexOf('=') + 1)]),
      )
      return {
        name: of.get('name') ?? '',
        command: of.get('cmd') ?? '',
        blocked: (of.get('flags') ?? '').includes('b'),
        idleSeconds: Number(of.get('idle')),
      }
    })
}
