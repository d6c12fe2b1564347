import { connect, startWorker } from '@headwater/core'
import { Redis } from 'ioredis'
import { Pool } from 'pg'
import { cacheSink } from './cache-replica.ts'
import { features } from './feature.ts'
import { reportingSink } from './reporting-replica.ts'
import type { Settings } from './settings.ts'

const settings = JSON.parse(process.env['BROWSER_COMPAT_SETTINGS'] ?? '') as Settings

// The demo holds the other end of this channel: when it ends, however it ends, so does this process.
process.once('disconnect', () => process.exit(1))
if (!process.connected) process.exit(1)
// Ctrl-C in a terminal goes to every process in it; the demo decides what happens.
process.on('SIGINT', () => {})

const log = await connect(settings.log.redis, { namespace: settings.log.namespace, collections: [features] })
const redis = new Redis(settings.cache.redis)
const pool = new Pool(settings.reporting.postgres)
const worker = await startWorker(log, {
  groups: {
    cache: cacheSink(redis, settings.cache.keyPrefix),
    reporting: reportingSink(pool, settings.reporting.schema),
  },
  leaseMs: settings.leaseMs,
  onEvent(event) {
    if (event.kind === 'parked' || event.kind === 'damaged') console.error(`\n${event.error.message}`)
  },
})
process.once('SIGTERM', () => void worker.stop())
process.send?.(worker.name)

await worker.done
await Promise.all([log.close(), redis.quit(), pool.end()])
process.exit()
