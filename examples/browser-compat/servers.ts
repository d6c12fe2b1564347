import { startPostgres, startRedis } from '@headwater/local-servers'
import type { Settings } from './settings.ts'

/** Leases are short here, so that a takeover is worth waiting for. The default is 15 s. */
const leaseMs = 3_000

export interface Servers extends AsyncDisposable {
  readonly settings: Settings
}

/** Starts a Redis for the log, another for the cache and a Postgres for reporting. They end with this process. */
export async function startServers(): Promise<Servers> {
  const [log, cache, reporting] = await Promise.all([startRedis(), startRedis(), startPostgres()])
  return {
    settings: {
      log: { redis: log.options, namespace: `${log.namespacePrefix}browser-compat` },
      cache: { redis: cache.options, keyPrefix: cache.namespacePrefix },
      reporting: { postgres: reporting.connection, schema: reporting.schema },
      leaseMs,
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([log.stop(), cache.stop(), reporting.stop()])
    },
  }
}
