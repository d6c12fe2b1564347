import type { Redis } from 'ioredis'
import type { Connection } from '../redis/connection.ts'
import { isCluster } from '../redis/node-of-key.ts'
import { persist } from '../redis/persist.ts'

/** What one node says of itself: `INFO`, a field a line, and what else can be asked. */
export interface ServerFacts {
  /** `host:port` or the path of its socket. */
  readonly address: string
  /** Empty where the user may not call `INFO`. */
  readonly info: ReadonlyMap<string, string>
  /** Of `CLUSTER INFO`; undefined where the node is in no Cluster. */
  readonly cluster: ReadonlyMap<string, string> | undefined
  /** Whether it starts with an append-only file that ends too early; undefined where that was not asked, or the user may not. */
  readonly loadsTruncated: boolean | undefined
  /** When it flushes that file: always, everysec or no; undefined as above. */
  readonly flushes: string | undefined
  /** How far its clock is ahead of ours, in ms, and how sure that is. */
  readonly clock: { readonly aheadMs: number; readonly withinMs: number }
}

/**
 * Asks every node that appends may go to: the one server, or the masters of a Cluster.
 *
 * @param configuration whether to ask for that too, which the users of programs may not
 */
export async function serverFacts(
  connection: Connection,
  deadlineMs: number,
  configuration: 'with configuration' | 'without' = 'without',
): Promise<ServerFacts[]> {
  const options = { doing: 'asking the servers how they are', deadlineMs }
  return await persist(connection, options, async (client) => {
    const nodes = isCluster(client) ? client.nodes('master') : [client]
    return await Promise.all(nodes.map((node) => factsOf(node, configuration === 'with configuration')))
  })
}

async function factsOf(node: Redis, withConfiguration: boolean): Promise<ServerFacts> {
  const { path, host, port } = node.options
  const info = fieldsOf(await orNothing(node.info()))
  const setting = async (name: string): Promise<string | undefined> => {
    if (!withConfiguration) return undefined
    const reply = await node.config('GET', name).catch(unlessAllowed)
    return reply?.[1]
  }
  const truncated = await setting('aof-load-truncated')
  const flushes = await setting('appendfsync')
  const sentAt = Date.now()
  const [seconds, micros] = await node.time()
  const receivedAt = Date.now()
  const time = Number(seconds) * 1_000 + Number(micros) / 1_000
  return {
    address: path ?? `${host}:${port}`,
    info,
    cluster:
      info.get('cluster_enabled') === '1' ? fieldsOf(await orNothing(node.cluster('INFO'))) : undefined,
    loadsTruncated: truncated === undefined ? undefined : truncated === 'yes',
    flushes,
    clock: { aheadMs: time - (sentAt + receivedAt) / 2, withinMs: (receivedAt - sentAt) / 2 + 1 },
  }
}

async function orNothing(asked: Promise<string>): Promise<string> {
  return (await asked.catch(unlessAllowed)) ?? ''
}

/** What the user may not ask stays unknown; whatever else goes wrong is for the caller to try again. */
function unlessAllowed(error: unknown): undefined {
  if (error instanceof Error && error.message.startsWith('NOPERM')) return undefined
  throw error
}

function fieldsOf(text: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1))
  }
  return fields
}
