import type { RedisOptions } from 'ioredis'
import { eventually } from '../../support/eventually.ts'
import { plainClient } from '../../support/plain-client.ts'

/** What a server says of its part in replication. */
export interface Part {
  readonly isMaster: boolean
  /** Of a replica: whether it follows its master now. */
  readonly follows: boolean
  /** Of a master: how many replicas are in step. */
  readonly online: number
}

export async function partOf(server: { readonly options: RedisOptions }): Promise<Part> {
  await using client = plainClient({ ...server.options, retryStrategy: () => null, maxRetriesPerRequest: 0 })
  client.on('error', () => {})
  const text = await client.info('replication')
  return {
    isMaster: /^role:master/m.test(text),
    follows: /^master_link_status:up/m.test(text) && !/^master_sync_in_progress:1/m.test(text),
    online: text.match(/state=online/g)?.length ?? 0,
  }
}

/** Waits until there are so many masters, and each other server follows one, and is known by it. */
export async function untilWhole(
  servers: readonly { readonly options: RedisOptions }[],
  masters: number,
): Promise<void> {
  await eventually(
    async () => {
      const parts = await Promise.all(servers.map(partOf))
      const [heads, rest] = [parts.filter(({ isMaster }) => isMaster), parts.filter((part) => !part.isMaster)]
      const online = heads.reduce((sum, part) => sum + part.online, 0)
      if (heads.length !== masters || rest.some(({ follows }) => !follows) || online !== rest.length)
        throw new Error(`Not in step: ${JSON.stringify(parts)}`)
    },
    { timeoutMs: 60_000, everyMs: 50 },
  )
}

export async function mastersOf(
  servers: readonly { readonly options: RedisOptions }[],
): Promise<readonly number[]> {
  const parts = await Promise.all(servers.map((server) => partOf(server).catch(() => undefined)))
  return parts.flatMap((part, index) => (part?.isMaster ? [index] : []))
}
