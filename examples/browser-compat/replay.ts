import type { ChangeRequest, Log, Position } from '@headwater/core'
import type { Redis } from 'ioredis'
import { appendAll } from './append-all.ts'
import { features } from './feature.ts'
import { LagWatch } from './lag-watch.ts'
import { bar, type Progress } from './progress.ts'
import { diffReleases, type FeatureChange } from './release-diff.ts'
import { readRelease, type Release, type ReleaseVersion } from './release.ts'
import type { RemoteWorker } from './remote-worker.ts'
import { countUnacknowledged, killBusyWorker, type KilledWorker, takenOver } from './takeover.ts'

export interface ReplayOptions {
  readonly log: Log
  /** A plain client for the log's Redis. */
  readonly redis: Redis
  readonly workers: readonly RemoteWorker[]
  readonly versions: readonly ReleaseVersion[]
  readonly progress: Progress
}

export interface Replay {
  readonly changes: Readonly<Record<FeatureChange['kind'], number>>
  /** From the first append until both groups had applied the last change. */
  readonly seconds: number
  readonly takeover: KilledWorker & { readonly seconds: number }
}

/**
 * Appends release by release. Early in the fourth release (or of the last, when there are fewer) it kills a
 * worker, and goes on appending. Returns when both groups have applied everything.
 */
export async function replay({ log, redis, workers, versions, progress }: ReplayOptions): Promise<Replay> {
  const fatal = versions[Math.min(3, versions.length - 1)]
  const count = { create: 0, update: 0, delete: 0 }
  const last = new Map<number, Position>()
  let latest: Release = new Map()
  let takeover: Promise<Replay['takeover']> | undefined
  using lag = new LagWatch(log)

  async function interrupt(): Promise<Replay['takeover']> {
    const killed = await killBusyWorker(log, redis, workers)
    const { worker, owned } = killed
    const held = `owned ${owned.length} partitions and held ${countUnacknowledged(owned)} unacknowledged batches`
    progress.note(`SIGKILL for worker ${worker.pid}, which ${held}`)
    const seconds = await takenOver(log, killed)
    progress.note(`Another worker went on with them ${seconds.toFixed(1)} s after the kill`)
    return { ...killed, seconds }
  }

  const startedAt = performance.now()
  for (const version of versions) {
    let appended = 0
    let changes: FeatureChange[] = []
    progress.begin(version, () => {
      if (changes.length === 0) return 'finding what changed'
      return `${bar(appended, changes.length)} ${number(appended)} of ${number(changes.length)}  ${lag.text}`
    })
    const release = readRelease(version)
    changes = await diffReleases(latest, release)
    const quarter = Math.ceil(changes.length / 4)
    await appendAll(log, changes.map(requestFor), last, () => {
      appended++
      if (version === fatal && appended === quarter) takeover = interrupt()
    })
    for (const { kind } of changes) count[kind]++
    progress.end(`${number(changes.length)} changes appended; ${lag.text}`)
    latest = release
  }

  progress.begin('catching up', () => lag.text)
  for (const group of ['cache', 'reporting']) {
    for (const position of last.values()) await log.whenApplied(position, { group, timeoutMs: 300_000 })
  }
  const seconds = (performance.now() - startedAt) / 1_000
  progress.end('both groups have applied everything')
  if (takeover === undefined) throw new Error(`No worker was killed: ${fatal} changes nothing.`)
  return { changes: count, seconds, takeover: await takeover }
}

function requestFor(change: FeatureChange): ChangeRequest {
  return change.kind === 'delete' ? features.delete(change.path) : features.put(change.feature)
}

function number(value: number): string {
  return value.toLocaleString('en-US')
}
