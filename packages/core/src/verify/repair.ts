import type { Change } from '../change/change.ts'
import type { Stamp } from '../change/stamp.ts'
import { formatVersion } from '../change/version.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import { logParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { pause } from '../redis/persist.ts'
import type { AnySink, Replacement } from '../sink/sink.ts'
import { LatestChanges } from '../state/latest-changes.ts'
import { KeyJudge, type JudgedKey } from './key-judge.ts'
import type { Verdict } from './verdict.ts'
import { checkComparable, groupFeeding, type VerifyReport } from './verify.ts'

/**
 * What becomes of a key that the log does not know, or that the sink holds newer than the log:
 *
 * - `keep`: it stays, and goes on being reported
 * - `remove`: the sink gets what the log holds, and forgets what the log does not know
 * - `adopt`: it enters the log as a new change, checked like any other, and so comes to all sinks
 */
export type ForeignPolicy = 'keep' | 'remove' | 'adopt'

export interface RepairOptions {
  /** Only says what would be done. Default false. */
  readonly dryRun?: boolean
  /** Default `keep`. */
  readonly foreign?: ForeignPolicy
  /** At most so many keys a second. Default 1,000. */
  readonly keysPerSecond?: number
  /** Of how many keys the report shows the values, before and after. Default 0. */
  readonly samples?: number
  readonly signal?: AbortSignal
  /** Called after each step with how many of the keys are done. */
  readonly onProgress?: (done: number, total: number) => void
}

/** What repair did with one key, or would do. */
export interface RepairEntry {
  readonly key: string
  /** As the key was judged just before. */
  readonly verdict: Verdict
  /** `none` where there is nothing to do (any more), or nothing may be done. */
  readonly action: 'write' | 'delete' | 'forget' | 'adopt' | 'none'
  /** `changed`: it did not stand still long enough to be put right; look again. */
  readonly outcome: 'done' | 'planned' | 'changed' | 'failed' | 'left'
  readonly log: Stamp | undefined
  readonly sink: Stamp | undefined
  /** Why it failed. */
  readonly error?: string
  /** The values, for as many keys as asked for. */
  readonly before?: unknown
  readonly after?: unknown
}

export interface RepairReport {
  readonly dryRun: boolean
  /** Keys put right, or that would be. */
  readonly mended: number
  /** Keys that were equal already, behind, parked, or kept. */
  readonly left: number
  /** Keys that could not be put right: they changed meanwhile, or `error` says why. */
  readonly failed: number
  readonly entries: readonly RepairEntry[]
}

const keysAtOnceMax = 100
/** So many keys are written side by side: a target answers each by itself. */
const writesAtOnce = 8
const attemptsMax = 5

/**
 * Puts right the keys that `verify` listed, and no others. Each is judged again first, and written only where the sink
 * still holds exactly what was judged. So it is safe while workers run, and when it was interrupted it is simply run again.
 *
 * @throws HeadwaterError SINK_CONTRACT where the sink cannot replace; OPTION_INVALID; GROUP_UNKNOWN
 */
export async function repair(
  log: Log,
  sink: AnySink,
  report: Pick<VerifyReport, 'differences' | 'deep' | 'group'>,
  options: RepairOptions = {},
): Promise<RepairReport> {
  checkOptions(options)
  const parts = logParts(log)
  checkComparable(parts, sink)
  if (!sink.replace) {
    throw new HeadwaterError('SINK_CONTRACT', `The ${sink.name} cannot be repaired: it declares no replace.`)
  }
  const group = report.group ?? (await groupFeeding(parts, sink))
  const judge = new KeyJudge(parts, sink, group, report.deep)
  const latest = new LatestChanges(parts, judge.router)
  return await new Repair(log, sink, judge, latest, options).run(report.differences.map(({ key }) => key))
}

function checkOptions({ foreign = 'keep', keysPerSecond = 1_000 }: RepairOptions): void {
  if (!['keep', 'remove', 'adopt'].includes(foreign)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `foreign ${quoted(foreign)} must be "keep", "remove" or "adopt".`,
    )
  }
  if (!(keysPerSecond > 0)) {
    throw new HeadwaterError('OPTION_INVALID', `keysPerSecond ${String(keysPerSecond)} must be above 0.`)
  }
}

/** What is to be done with a key. */
interface Plan {
  readonly judged: JudgedKey
  readonly action: RepairEntry['action']
  readonly change: Change | undefined
  readonly error?: string
}

class Repair {
  readonly #log: Log
  readonly #sink: AnySink
  readonly #judge: KeyJudge
  readonly #latest: LatestChanges
  readonly #options: RepairOptions
  readonly #entries: RepairEntry[] = []
  #samples: number

  constructor(log: Log, sink: AnySink, judge: KeyJudge, latest: LatestChanges, options: RepairOptions) {
    this.#log = log
    this.#sink = sink
    this.#judge = judge
    this.#latest = latest
    this.#options = options
    this.#samples = options.samples ?? 0
  }

  async run(keys: readonly string[]): Promise<RepairReport> {
    const { keysPerSecond = 1_000, signal, onProgress, dryRun = false } = this.#options
    const atOnce = Math.max(1, Math.min(keysAtOnceMax, Math.floor(keysPerSecond / 10)))
    for (let from = 0; from < keys.length; from += atOnce) {
      signal?.throwIfAborted()
      const some = keys.slice(from, from + atOnce)
      const began = performance.now()
      await this.#mend(some)
      onProgress?.(from + some.length, keys.length)
      const restMs = (some.length / keysPerSecond) * 1_000 - (performance.now() - began)
      if (restMs > 0 && from + atOnce < keys.length) await pause(restMs, signal)
    }
    const count = (...outcomes: RepairEntry['outcome'][]): number =>
      this.#entries.filter(({ outcome }) => outcomes.includes(outcome)).length
    return {
      dryRun,
      mended: count('done', 'planned'),
      left: count('left'),
      failed: count('failed', 'changed'),
      entries: this.#entries,
    }
  }

  async #mend(keys: readonly string[]): Promise<void> {
    let open = keys
    for (let attempt = 1; open.length > 0; attempt++) {
      const plans = await this.#plan(open)
      const again: string[] = []
      for (let from = 0; from < plans.length; from += writesAtOnce) {
        const some = plans.slice(from, from + writesAtOnce)
        const outcomes = await Promise.all(some.map((plan) => this.#carryOut(plan)))
        for (const [index, outcome] of outcomes.entries()) {
          const plan = some[index]!
          if (outcome.kind === 'changed' && attempt < attemptsMax) again.push(plan.judged.key)
          else this.#note(plan, outcome.kind, outcome.error)
        }
      }
      open = again
    }
  }

  async #plan(keys: readonly string[]): Promise<Plan[]> {
    const judged = await this.#judge.judge(keys)
    // After the judgement, so that it is no older than what was judged.
    const knownKeys = judged.filter(({ log }) => log !== undefined).map(({ key }) => key)
    const changes = await this.#latest.read(this.#sink.collection, knownKeys)
    const changeOf = new Map(knownKeys.map((key, index) => [key, changes[index]]))
    return judged.map((each) => this.#planOf(each, changeOf.get(each.key)))
  }

  #planOf(judged: JudgedKey, change: Change | undefined): Plan {
    const none = { judged, action: 'none', change: undefined } as const
    switch (judged.verdict) {
      case 'equal':
      case 'behind':
      case 'parked':
        return none
      case 'foreign': {
        const { foreign = 'keep' } = this.#options
        if (foreign === 'keep') return none
        if (foreign === 'adopt') return { judged, action: 'adopt', change: undefined }
        if (!judged.log) return { judged, action: 'forget', change: undefined }
        break
      }
      default:
    }
    if (change) return { judged, action: change.kind === 'delete' ? 'delete' : 'write', change }
    const error = 'The log does not have its value any more: it is not kept beside the log, and was trimmed.'
    return { ...none, error }
  }

  async #carryOut(plan: Plan): Promise<{ kind: RepairEntry['outcome']; error?: string }> {
    const { judged, action, change } = plan
    if (plan.error !== undefined) return { kind: 'failed', error: plan.error }
    if (action === 'none') return { kind: 'left' }
    if (this.#options.dryRun) return { kind: 'planned' }
    try {
      return await this.#replace(judged, action === 'adopt' ? await this.#adopt(judged) : change)
    } catch (error) {
      if (isHeadwaterError(error, 'VERSION_CONFLICT')) return { kind: 'changed' }
      // Of this value, not of the whole run.
      const own = ['VALUE_INVALID', 'KEY_INVALID', 'VALUE_TOO_LARGE', 'SINK_REJECTED'] as const
      if (own.some((code) => isHeadwaterError(error, code))) {
        return { kind: 'failed', error: (error as HeadwaterError).message }
      }
      throw error
    }
  }

  async #replace(
    { key, partition, sink }: JudgedKey,
    change: Change | undefined,
  ): Promise<{ kind: RepairEntry['outcome']; error?: string }> {
    const replacement: Replacement = { key, partition, observed: sink, change }
    const [outcome] = await this.#sink.replace!([replacement])
    switch (outcome?.kind) {
      case 'replaced':
        return { kind: 'done' }
      case 'reject':
        return { kind: 'failed', error: outcome.error.message }
      default:
        return { kind: 'changed' }
    }
  }

  /** Lets what the sink holds enter the log, at exactly the version that was judged; gives what the log holds then. */
  async #adopt({ key, sink, log }: JudgedKey): Promise<Change | undefined> {
    const { collection } = this.#sink
    const expected = log ? formatVersion(log.version, log.stamp.epoch) : 'absent'
    if (sink!.deleted) {
      await this.#log.append(collection.delete(key), { expected })
    } else {
      if (collection.keyOf(sink!.value) !== key) {
        const message = `The value at ${JSON.stringify(key)} is of the key ${JSON.stringify(collection.keyOf(sink!.value))}.`
        throw new HeadwaterError('KEY_INVALID', message)
      }
      await this.#log.append(collection.put(sink!.value), { expected })
    }
    const [change] = await this.#latest.read(collection, [key])
    return change
  }

  #note({ judged, action, change }: Plan, outcome: RepairEntry['outcome'], error: string | undefined): void {
    const { key, verdict, log, sink } = judged
    const shown = action !== 'none' && this.#samples-- > 0
    this.#entries.push({
      key,
      verdict,
      action,
      outcome,
      log: log?.stamp,
      sink: sink?.stamp,
      ...(error !== undefined && { error }),
      ...(shown && { before: sink?.value, after: action === 'adopt' ? sink?.value : change?.value }),
    })
  }
}
