import { parseArgs } from 'node:util'
import { connect } from '@headwater/core'
import { Redis } from 'ioredis'
import { Client } from 'pg'
import { readCache } from './cache-replica.ts'
import { features } from './feature.ts'
import { compareWithRelease } from './oracle.ts'
import { Progress } from './progress.ts'
import { readRelease, versions } from './release.ts'
import { RemoteWorker } from './remote-worker.ts'
import { replay } from './replay.ts'
import { readReporting } from './reporting-replica.ts'
import { startServers } from './servers.ts'
import { allEqual, summaryObject, summaryText } from './summary.ts'
import { limitTime } from './time-limit.ts'

const { values: options } = parseArgs({
  options: {
    /** Prints the result as JSON in the last line. */
    json: { type: 'boolean', default: false },
    /** How many of the releases to replay, for a shorter run. */
    releases: { type: 'string', default: String(versions.length) },
  },
})
const replayed = versions.slice(0, Number(options.releases))
const newest = replayed.at(-1)
if (newest === undefined || replayed.length !== Number(options.releases)) {
  throw new Error(`--releases must be 1 to ${versions.length}, not ${options.releases}.`)
}

const progress = new Progress(process.stderr)
limitTime(progress)
process.on('uncaughtExceptionMonitor', () => progress.note(`Failed at: ${progress.where}`))
// The workers and the servers end with this process, however it ends.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))

progress.begin('servers')
await using servers = await startServers()
const { settings } = servers
progress.end('Redis for the log, Redis for the cache, Postgres for reporting')

progress.begin('workers')
await using log = await connect(settings.log.redis, {
  namespace: settings.log.namespace,
  collections: [features],
})
const workers = await Promise.all([RemoteWorker.start(settings), RemoteWorker.start(settings)])
progress.end(`processes ${workers.map(({ pid }) => pid).join(' and ')}`)

const logRedis = new Redis(settings.log.redis)
const cache = new Redis(settings.cache.redis)
const reporting = new Client(settings.reporting.postgres)
await reporting.connect()
// The workers would wait for a server that is gone to come back; the demo has no use for that.
for (const client of [logRedis, cache, reporting]) {
  client.on('error', (error: Error) => {
    throw error
  })
}
const result = await replay({ log, redis: logRedis, workers, versions: replayed, progress })

progress.begin('proof')
const release = readRelease(newest)
const replicas = {
  cache: await compareWithRelease(release, readCache(cache, settings.cache.keyPrefix)),
  reporting: await compareWithRelease(release, readReporting(reporting, settings.reporting.schema)),
}
progress.end(`both replicas compared with release ${newest} as published`)

progress.begin('end')
for (const worker of workers) await worker.stop()
await Promise.all([logRedis.quit(), cache.quit(), reporting.end()])
progress.end('worker stopped')

const outcome = { ...result, release: newest, live: release.size, leaseMs: settings.leaseMs, replicas }
console.log(summaryText(outcome))
if (options.json) console.log(JSON.stringify(summaryObject(outcome)))
process.exitCode = allEqual(outcome) ? 0 : 1
