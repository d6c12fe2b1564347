import { startProxy, type PostgresServer, type TcpProxy } from '@headwater/local-servers'
import type { PoolConfig } from 'pg'

/** A way to a Postgres server that breaks on demand. */
export interface PostgresLink {
  readonly proxy: TcpProxy
  /** For `new Pool(…)`: as the server's own, but through the proxy. */
  readonly connection: PoolConfig
}

export async function startPostgresLink({ connection }: PostgresServer): Promise<PostgresLink> {
  const { connectionString, host } = connection
  if (connectionString === undefined) {
    const proxy = await startProxy({ path: `${host}/.s.PGSQL.5432` }, { listen: 'tcp' })
    return { proxy, connection: { ...connection, ...addressOf(proxy) } }
  }
  const url = new URL(connectionString)
  const proxy = await startProxy({ host: url.hostname, port: Number(url.port || 5432) })
  const { host: proxyHost = '', port } = addressOf(proxy)
  url.host = `${proxyHost}:${port}`
  return { proxy, connection: { connectionString: url.href } }
}

function addressOf({ address: { host, port } }: TcpProxy): { host?: string; port?: number } {
  return { ...(host !== undefined && { host }), ...(port !== undefined && { port }) }
}
