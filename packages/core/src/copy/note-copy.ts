import type { LeaseRequest } from '../group/lease.ts'
import type { RedisClient } from '../redis/connection.ts'
import { script } from '../redis/script.ts'
import { formatCopyProgress, type CopyProgress } from './copy-progress.ts'
import { source as noteCopyLua } from './note-copy.lua.ts'

const noteCopyScript = script('note-copy', noteCopyLua)

/** Notes the progress of a copy as the holder of a lease; undefined when it is done. */
export async function noteCopy(
  client: RedisClient,
  { keys, group, owner, leaseMs }: LeaseRequest,
  token: number,
  progress: CopyProgress | undefined,
): Promise<'noted' | 'fenced'> {
  const input = {
    keys: [keys.group(group)],
    args: [owner, token, leaseMs, progress ? formatCopyProgress(progress) : ''],
  }
  return (await noteCopyScript.run(client, input)) as 'noted' | 'fenced'
}
