import { parsePosition } from '../change/position.ts'
import { compareStamps, type Stamp } from '../change/stamp.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { checkGroupName } from '../group/group-name.ts'
import { groupNames, groupStatus, type PartitionStatus } from '../group/group-status.ts'
import { retireGroup } from '../group/retire-group.ts'
import { readHeader, stampOf, type Header } from '../log/header.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { pause } from '../redis/persist.ts'
import { guardSink } from '../sink/guarded-sink.ts'
import type { SinkVersions } from '../sink/sink-versions.ts'
import type { AnySink, Sink } from '../sink/sink.ts'
import { groupFeeding } from '../verify/verify.ts'
import { startWorker, type Worker } from '../worker/worker.ts'
import { checkStart } from './group-start.ts'
import { RebuildMeter, type RebuildProgress } from './rebuild-progress.ts'
import { TakenPartitions } from './taken-partitions.ts'

export interface RebuildOptions {
  /** The group that feeds the sink. Default: the one under which a worker of this process runs it, or the only one there is. */
  readonly group?: string
  /** What the new version is made from: the state (default), or every change from the beginning of the log. */
  readonly start?: 'state' | 'beginning'
  /** At most so many keys a second are copied. Default: no limit. */
  readonly keysPerSecond?: number
  /** Whether readers get the new version as soon as it has caught up. Default true; false only builds it. */
  readonly switch?: boolean
  /**
   * Gives up when the new version has not come closer to the end of the log for so long, in ms: writers are faster than it.
   * What is built stays. Default: it goes on, and `onProgress` tells.
   */
  readonly giveUpAfterMs?: number
  /** Stops where it is. Called again, it goes on from there; `cancelRebuild` gives it up. */
  readonly signal?: AbortSignal
  /** Called a few times a second. */
  readonly onProgress?: (progress: RebuildProgress) => void
}

export interface RebuildReport {
  readonly group: string
  /** The version that was built, and the one that readers had before. */
  readonly version: number
  readonly previous: number
  /** Whether readers have the new version now. */
  readonly switched: boolean
  /** Under which group the new version was built: retired after the switch. */
  readonly builtBy: string
}

/** Close enough to switch: what is left is brought while the workers wait. */
const lagToSwitch = 1_000
const lookEveryMs = 200
/** How long the workers may wait for the new version to catch up; then they go on, and it is tried again. */
const standstillMs = 5_000
const betweenSwitchesMs = 500

/**
 * Builds the next version of a sink's target beside the present one, from what the log holds now, while workers go on to feed
 * the present one; and when it has caught up, switches readers and workers over in one step. It can be stopped or killed at any
 * moment and called again. Several processes may rebuild the same target: they share the work.
 *
 * @throws HeadwaterError SINK_CONTRACT where the sink has no versions, STATE_REQUIRED, GROUP_UNKNOWN, SINK_MISCONFIGURED;
 * REBUILD_BLOCKED when the new version cannot take everything; the signal's reason when it stops
 */
export async function rebuild(log: Log, sink: AnySink, options: RebuildOptions = {}): Promise<RebuildReport> {
  const { signal } = options
  const parts = logParts(log)
  const versions = versionsOf(sink)
  const group = await registeredGroup(parts, sink, options.group)
  const finished = await finish(log, versions, group)
  if (finished) return finished
  const { current, others } = await versions.list()
  const begun = others.filter((version) => version > current).at(-1)
  const version = begun ?? Math.max(current, ...others) + 1
  const builtBy = buildGroup(group, version)
  const next = versions.open(version)
  checkStart(builtBy, next, options.start ?? 'state')
  // Its target is gone, so what it says it has applied is not there.
  if (begun === undefined) await retireIfKnown(log, builtBy)
  signal?.throwIfAborted()
  try {
    await next.prepare?.()
    const run = new Rebuild(log, sink, next, { group, version, builtBy, previous: current }, options)
    return await run.run()
  } finally {
    await next.close()
  }
}

/**
 * Gives up a rebuild that was stopped, or that only built: its version, its group and what it held back of the log go.
 *
 * @returns the versions that were removed
 * @throws HeadwaterError SINK_CONTRACT, GROUP_UNKNOWN; GROUP_ALIVE while somebody works on it
 */
export async function cancelRebuild(
  log: Log,
  sink: AnySink,
  options: { readonly group?: string } = {},
): Promise<readonly number[]> {
  const versions = versionsOf(sink)
  const group = await registeredGroup(logParts(log), sink, options.group)
  const { current, others } = await versions.list()
  const begun = others.filter((version) => version > current)
  for (const version of begun) {
    // The group first: while it is there, its version can be built on.
    await retireIfKnown(log, buildGroup(group, version), { force: false })
    await versions.drop(version)
  }
  return begun
}

function versionsOf(sink: AnySink): SinkVersions {
  if (sink.versions) return sink.versions as SinkVersions
  throw new HeadwaterError(
    'SINK_CONTRACT',
    `The ${sink.name} cannot be rebuilt beside itself: it declares no versions.`,
  )
}

async function registeredGroup(parts: LogParts, sink: AnySink, given: string | undefined): Promise<string> {
  const group = given ?? (await groupFeeding(parts, sink))
  const names = await groupNames(parts.connection, parts.keys, parts.deadlineMs)
  if (names.includes(group)) return group
  throw new HeadwaterError(
    'GROUP_UNKNOWN',
    `No group ${JSON.stringify(group)} is registered at namespace ${JSON.stringify(parts.namespace)}: a target that nothing feeds needs no rebuild.`,
  )
}

/** @throws HeadwaterError OPTION_INVALID when the group's name leaves no room for it */
function buildGroup(group: string, version: number): string {
  const name = `${group}.v${version}`
  checkGroupName(name)
  return name
}

/** A switch that was cut short behind its decisive step: only the group that built is left. */
async function finish(log: Log, versions: SinkVersions, group: string): Promise<RebuildReport | undefined> {
  const { current, others } = await versions.list()
  if (current === 1) return undefined
  const builtBy = buildGroup(group, current)
  if (!(await retireIfKnown(log, builtBy))) return undefined
  const previous = others.filter((version) => version < current).at(-1) ?? current - 1
  return { group, version: current, previous, switched: true, builtBy }
}

async function retireIfKnown(log: Log, group: string, { force = true } = {}): Promise<boolean> {
  try {
    await retireGroup(log, group, { force })
    return true
  } catch (error) {
    if (isHeadwaterError(error, 'GROUP_UNKNOWN')) return false
    throw error
  }
}

interface Names {
  readonly group: string
  readonly version: number
  readonly builtBy: string
  readonly previous: number
}

class Rebuild {
  readonly #log: Log
  readonly #parts: LogParts
  readonly #sink: Sink
  readonly #versions: SinkVersions
  readonly #next: Sink
  readonly #names: Names
  readonly #options: RebuildOptions
  readonly #meter: RebuildMeter

  constructor(log: Log, sink: AnySink, next: Sink, names: Names, options: RebuildOptions) {
    this.#log = log
    this.#parts = logParts(log)
    this.#sink = guardSink(sink)
    this.#versions = versionsOf(sink)
    this.#next = next
    this.#names = names
    this.#options = options
    this.#meter = new RebuildMeter(names.version)
  }

  async run(): Promise<RebuildReport> {
    const { builtBy, version, group, previous } = this.#names
    const { start = 'state', keysPerSecond, switch: switches = true } = this.#options
    const build = {
      sink: this.#next,
      start,
      // Whoever kills a rebuild again and again says nothing about the change that was in hand.
      deathsMax: 1_000,
      ...(keysPerSecond && { copyKeysPerSecond: keysPerSecond }),
    }
    let worker = await startWorker(this.#log, { groups: { [builtBy]: build } })
    try {
      for (;;) {
        await this.#caughtUp()
        if (!switches) break
        const isSwitched = await this.#switch(worker)
        if (isSwitched) return { group, version, previous, switched: true, builtBy }
        // The workers would have waited too long, or the target was in use.
        await pause(betweenSwitchesMs, this.#options.signal)
        if (!worker.health().live) worker = await startWorker(this.#log, { groups: { [builtBy]: build } })
      }
    } finally {
      await worker.stop()
    }
    return { group, version, previous, switched: false, builtBy }
  }

  /** Waits until little is left. */
  async #caughtUp(): Promise<void> {
    const { signal } = this.#options
    for (;;) {
      signal?.throwIfAborted()
      const statuses = await this.#statuses()
      const copying = statuses.some(({ copying: copy }) => copy !== undefined)
      const { lag, notCloserMs } = this.#tell(copying ? 'copying' : 'catching-up', statuses)
      if (!copying && lag <= lagToSwitch) {
        this.#checkComplete(statuses)
        return
      }
      this.#checkCloser(lag, notCloserMs)
      await pause(lookEveryMs, signal)
    }
  }

  /**
   * The workers are held up for a moment: their partitions are taken, at the log and at the present version, so that it cannot
   * get anything that the new version lacks. What the log has at that moment the new version gets first, then it is switched.
   *
   * @returns false when the new version did not get there in time; then nothing has changed
   */
  async #switch(worker: Worker): Promise<boolean> {
    const { group, version, builtBy } = this.#names
    const { metadata } = this.#parts
    const all = Array.from({ length: metadata.partitions }, (_, partition) => partition)
    try {
      await using taken = await TakenPartitions.take(this.#parts, group, all, 'rebuild')
      this.#tell('switching', await this.#statuses())
      const fences = all.map((partition) => taken.fence(partition))
      for (const partition of all) await this.#stand(this.#sink, taken, partition, undefined)
      const ends = await Promise.all(all.map((partition) => this.#end(partition)))
      if (!(await this.#reached(ends))) return false
      await worker.stop()
      const statuses = await this.#statuses()
      this.#checkComplete(statuses)
      const next = guardSink(this.#next)
      for (const { partition, checkpoint } of statuses) {
        await this.#stand(next, taken, partition, parsePosition(checkpoint))
      }
      await this.#versions.switchTo(version, { group, fences, builtBy })
    } catch (error) {
      // Another process is about to switch, or a worker came back because we were away for too long.
      const isPassing = isHeadwaterError(error) && (error.retryable || error.code === 'SINK_FENCED')
      if (!isPassing) throw error
      if ((await this.#versions.list()).current !== version) return false
    }
    await retireIfKnown(this.#log, builtBy)
    return true
  }

  /** Takes a partition of a version for the group, and lets it stand at a place where one is given. */
  async #stand(sink: Sink, taken: TakenPartitions, partition: number, at: Stamp | undefined): Promise<void> {
    const { group } = this.#names
    const { lineage } = this.#parts.metadata
    const opened = await sink.open({ lineage, group, partition, fence: taken.fence(partition) })
    try {
      if (at)
        await opened.advance({
          epoch: at.epoch,
          sequence: at.sequence,
          branch: await this.#branch(partition, at),
        })
    } finally {
      await opened.close()
    }
  }

  async #reached(ends: readonly Stamp[]): Promise<boolean> {
    const giveUpAt = performance.now() + standstillMs
    while (performance.now() < giveUpAt) {
      this.#options.signal?.throwIfAborted()
      const statuses = await this.#statuses()
      const isThere = statuses.every(
        ({ partition, checkpoint }) => compareStamps(parsePosition(checkpoint), ends[partition]!) >= 0,
      )
      if (isThere) return true
      await pause(lookEveryMs / 10)
    }
    return false
  }

  /** Where the log ends; an epoch that has opened since without a change holds nothing to wait for. */
  async #end(partition: number): Promise<Stamp> {
    const header = await this.#header(partition)
    return stampOf(header, header.sequence)
  }

  async #branch(partition: number, { epoch }: Stamp): Promise<string> {
    return (await this.#header(partition)).epochs.get(epoch)?.branch ?? ''
  }

  async #header(partition: number): Promise<Header> {
    const { connection, keys, deadlineMs, namespace } = this.#parts
    const header = await readHeader(connection, keys.partitions[partition]!, deadlineMs)
    if (!header) throw missingHeader(namespace, partition)
    return header
  }

  /** @throws HeadwaterError REBUILD_BLOCKED */
  #checkComplete(statuses: readonly PartitionStatus[]): void {
    const { builtBy, version } = this.#names
    const parked = statuses.reduce((sum, status) => sum + status.parked, 0)
    if (parked === 0) return
    throw new HeadwaterError(
      'REBUILD_BLOCKED',
      `Version ${version} of the ${this.#sink.name} rejects ${parked} keys, which group ${builtBy} has parked: readers would miss them. Redrive or drop them, and call this again; or cancel it.`,
    )
  }

  /** @throws HeadwaterError REBUILD_BLOCKED */
  #checkCloser(lag: number, notCloserMs: number): void {
    const { giveUpAfterMs } = this.#options
    if (giveUpAfterMs === undefined || notCloserMs < giveUpAfterMs) return
    const { builtBy, version } = this.#names
    throw new HeadwaterError(
      'REBUILD_BLOCKED',
      `Version ${version} of the ${this.#sink.name} does not catch up: group ${builtBy} is ${lag} changes behind, and has not come closer for ${Math.round(notCloserMs / 1_000)} s. Let writers slow down, or start more processes of this rebuild, and call it again: it goes on from there.`,
    )
  }

  async #statuses(): Promise<PartitionStatus[]> {
    const { connection, keys, deadlineMs } = this.#parts
    const { builtBy, version } = this.#names
    const statuses = await groupStatus(connection, keys, builtBy, deadlineMs)
    const stopped = statuses.find(
      ({ damage, standstill }) => damage !== undefined || standstill !== undefined,
    )
    if (!stopped) return statuses
    throw new HeadwaterError(
      'REBUILD_BLOCKED',
      `Version ${version} of the ${this.#sink.name} cannot be completed: ${stopped.damage ?? stopped.standstill}`,
    )
  }

  #tell(phase: RebuildProgress['phase'], statuses: readonly PartitionStatus[]): RebuildProgress {
    const progress = this.#meter.read(phase, statuses)
    this.#options.onProgress?.(progress)
    return progress
  }
}
