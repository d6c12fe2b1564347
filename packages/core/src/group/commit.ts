import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import { formatCheckpoint, type Checkpoint } from './checkpoint.ts'
import { source as commitLua } from './commit.lua.ts'
import type { LeaseRequest } from './lease.ts'

const commitScript = script('commit', commitLua)

export interface Commit {
  readonly checkpoint: Checkpoint
  readonly saved: Checkpoint
  /** Entries to acknowledge. */
  readonly entries: readonly string[]
}

/** Acknowledges and moves the checkpoint as the holder of a lease; `fenced` when it is somebody else's by now. */
export async function commit(
  client: RedisClient,
  { keys, group, owner, leaseMs }: LeaseRequest,
  token: number,
  commit: Commit,
): Promise<'committed' | 'fenced'> {
  const { checkpoint, saved, entries } = commit
  const input = {
    keys: [keys.group(group), keys.log],
    args: [group, owner, token, leaseMs, formatCheckpoint(checkpoint), formatCheckpoint(saved), ...entries],
  }
  return (await commitScript.run(client, input)) as 'committed' | 'fenced'
}
