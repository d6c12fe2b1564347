import { formatPosition, type Position } from '../change/position.ts'
import type { Stamp } from '../change/stamp.ts'
import { formatCheckpoint, parseCheckpoint } from '../group/checkpoint.ts'
import type { LeaseRequest } from '../group/lease.ts'
import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import { source as noteProofLua } from './note-proof.lua.ts'

/**
 * What a check of a sink at a marker came to.
 *
 * - `equal`: at the marker the sink held what the log held
 * - `different`: it did not, and keys differ that should not
 * - `unprovable`: nothing can be said (yet), for the reason that stands beside it
 */
export type CheckResult = 'equal' | 'different' | 'unprovable'

/** What is known of one partition of a group's sink from the markers in the log. */
export interface PartitionProof {
  /** Up to where the sink was last proven to hold what the log holds; undefined when it never was. */
  readonly verifiedUpTo: Position | undefined
  /** How long ago that was, in ms by the clock of the log's server. */
  readonly verifiedMsAgo: number | undefined
  /** The latest check, which may have been later; undefined before the first. */
  readonly latest: CheckResult | undefined
  /** Why the latest check did not come to `equal`. */
  readonly reason: string | undefined
}

/** Whatever markers come by meanwhile: some keys the sink has as they are behind them, and some not at all. */
const copying: PartitionProof = {
  verifiedUpTo: undefined,
  verifiedMsAgo: undefined,
  latest: 'unprovable',
  reason: 'the sink still gets its first copy',
}

const noteProofScript = script('note-proof', noteProofLua)

/** Notes what a check came to beside the group; without effect where the lease is somebody else's by now. */
export async function noteProof(
  client: RedisClient,
  { keys, group, owner }: LeaseRequest,
  token: number,
  { result, at, reason }: { readonly result: CheckResult; readonly at: Stamp; readonly reason: string },
): Promise<void> {
  const args = [owner, token, result, formatCheckpoint(at), reason]
  await noteProofScript.run(client, { keys: [keys.group(group)], args })
}

/**
 * Reads what note-proof.lua writes.
 *
 * @param record the hash of the group
 * @param now of the log's server, in ms
 */
export function parseProof(
  { verified, checked, copy }: Readonly<Record<string, string>>,
  partition: number,
  now: number,
): PartitionProof {
  if (copy !== undefined) return copying
  const [upTo, verifiedAt] = verified?.split(' ') ?? []
  const [, result, reason = ''] = /^(\w+) \S+ \d+ (.*)$/s.exec(checked ?? '') ?? []
  return {
    verifiedUpTo: upTo === undefined ? undefined : formatPosition(partition, parseCheckpoint(upTo)),
    verifiedMsAgo: verifiedAt === undefined ? undefined : Math.max(0, Math.round(now - Number(verifiedAt))),
    latest: result as CheckResult | undefined,
    reason: reason === '' ? undefined : reason,
  }
}
