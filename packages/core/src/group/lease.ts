import { parseCopyProgress, type CopyProgress } from '../copy/copy-progress.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { source as epochLua } from '../namespace/epoch.lua.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import { parseCheckpoint, type Checkpoint } from './checkpoint.ts'
import { parseHand, type Hand } from './hand.ts'
import { source as leaseLua } from './lease.lua.ts'
import { source as raiseEpochLua } from './raise-epoch.lua.ts'

const leaseScript = script('lease', epochLua, leaseLua)
const raiseEpochScript = script('raise-epoch', epochLua, raiseEpochLua)

/** The right of one worker to one partition of one group. */
export interface Lease {
  readonly owner: string
  readonly token: number
  readonly checkpoint: Checkpoint
  /** What the sink is known to have stored as its own position. */
  readonly saved: Checkpoint
  /** How far the first copy is; undefined when it is done, or there was none. */
  readonly copy: CopyProgress | undefined
  /** Of the partition, at this moment. */
  readonly epoch: number
  readonly sequence: number
  /** How many workers in a row died with this partition while its checkpoint stood still. */
  readonly deaths: number
  /** The one change that the last of them had in hand, where it is known. */
  readonly hand: Hand | undefined
  /** Whether the owner before let it run out. */
  readonly died: boolean
}

export type LeaseAnswer =
  | { readonly kind: 'granted'; readonly lease: Lease }
  | { readonly kind: 'held'; readonly owner: string; readonly leftMs: number }
  | { readonly kind: 'fenced' }
  /** The partition has lost its header, or the group its record. */
  | { readonly kind: 'missing' }

export interface LeaseRequest {
  readonly keys: PartitionKeys
  readonly group: string
  readonly owner: string
  readonly leaseMs: number
}

export function acquireLease(client: RedisClient, request: LeaseRequest): Promise<LeaseAnswer> {
  return runLease(client, 'acquire', request, 0)
}

/** As `acquireLease`, also from the worker that holds it: for a command that needs the partition for itself, and not for long. */
export function takeLease(client: RedisClient, request: LeaseRequest): Promise<LeaseAnswer> {
  return runLease(client, 'take', request, 0)
}

export function renewLease(client: RedisClient, request: LeaseRequest, token: number): Promise<LeaseAnswer> {
  return runLease(client, 'renew', request, token)
}

/** Gives the lease up, so that another worker can take it at once. Without effect where it is not ours any more. */
export async function releaseLease(client: RedisClient, request: LeaseRequest, token: number): Promise<void> {
  await runLease(client, 'release', request, token)
}

async function runLease(
  client: RedisClient,
  action: 'acquire' | 'take' | 'renew' | 'release',
  { keys, group, owner, leaseMs }: LeaseRequest,
  token: number,
): Promise<LeaseAnswer> {
  const input = { keys: [keys.header, keys.group(group)], args: [action, owner, leaseMs, token] }
  const [word, ...rest] = (await leaseScript.run(client, input)) as [string, ...(string | number)[]]
  switch (word) {
    case 'granted': {
      const [newToken, checkpoint, saved, epoch, sequence, copy, deaths, hand, died] = rest as [
        number,
        string,
        string,
        number,
        number,
        string,
        number,
        string,
        number,
      ]
      const lease = {
        owner,
        token: newToken,
        checkpoint: parseCheckpoint(checkpoint),
        saved: parseCheckpoint(saved),
        copy: copy === '' ? undefined : parseCopyProgress(copy),
        epoch,
        sequence,
        deaths,
        hand: parseHand(hand),
        died: died === 1,
      }
      return { kind: 'granted', lease }
    }
    case 'held':
      return { kind: 'held', owner: String(rest[0]), leftMs: Number(rest[1]) }
    case 'fenced':
    case 'released':
      return { kind: 'fenced' }
    default:
      return { kind: 'missing' }
  }
}

/** Opens an epoch above `above`, because a sink has seen history up to there that this log does not have. */
export async function raiseEpoch(client: RedisClient, keys: PartitionKeys, above: number): Promise<void> {
  const [word] = (await raiseEpochScript.run(client, { keys: [keys.header], args: [above] })) as [unknown]
  if (word === 'missing') throw new HeadwaterError('LOG_DAMAGED', 'A partition has lost its header.')
}
