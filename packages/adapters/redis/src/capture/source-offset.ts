import { HeadwaterError } from '@headwater/core'
import type { RedisOptions } from 'ioredis'
import type { ReplicationPosition } from './replication-link.ts'
import { connectClient } from './source-address.ts'

/** Where the stream of a source is now. */
export async function sourcePosition(source: RedisOptions): Promise<ReplicationPosition> {
  const client = await connectClient(source, 'headwater:capture:offset')
  const info = await client.info('replication').finally(() => client.disconnect())
  const replicationId = /^master_replid:(\w+)/m.exec(info)?.[1] ?? ''
  const offset = Number(/^master_repl_offset:(\d+)/m.exec(info)?.[1])
  return { replicationId, offset }
}

/** Its run ID. @throws HeadwaterError SOURCE_UNAVAILABLE */
export async function runIdOf(source: RedisOptions): Promise<string> {
  try {
    const client = await connectClient(source, 'headwater:capture:source')
    const info = await client.info('server').finally(() => client.disconnect())
    return /^run_id:(\w+)/m.exec(info)?.[1] ?? ''
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new HeadwaterError('SOURCE_UNAVAILABLE', `The source cannot be asked: ${reason}`, { cause: error })
  }
}
