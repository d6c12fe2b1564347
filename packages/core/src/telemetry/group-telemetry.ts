import {
  context,
  createNoopMeter,
  metrics,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Counter,
  type Histogram,
  type Link,
  type Meter,
  type ObservableGauge,
  type ObservableResult,
  type SpanContext,
  type Tracer,
} from '@opentelemetry/api'
import type { Change } from '../change/change.ts'
import { isHeadwaterError } from '../errors/headwater-error.ts'
import type { Outcome } from '../sink/outcome.ts'
import type { HealthWatch } from '../worker/group-health.ts'
import * as names from './attribute-names.ts'
import { batchBuckets, scopeName, secondsBuckets } from './instrumentation-scope.ts'
import { parseTrace } from './trace-context.ts'

interface GroupMetrics {
  readonly changes: Counter
  readonly duration: Histogram
  readonly batchSize: Histogram
  readonly lagTime: Histogram
  readonly lagChanges: ObservableGauge
  readonly parkedKeys: ObservableGauge
  readonly proofAge: ObservableGauge
  readonly rebalances: Counter
}

/** A batch links to so many appends at most. */
const linksMax = 128

const outcomeNames: Readonly<Record<Outcome['kind'], string | undefined>> = {
  applied: 'applied',
  stale: 'stale',
  retry: 'retried',
  // Counted when it is parked, with what waits behind it.
  reject: undefined,
  gap: undefined,
}

/**
 * Spans and metrics of one group in this worker. A batch's span links to the spans of the appends. It is the child of one
 * only where all of its changes come from that one; else it begins a trace, because one batch holds the changes of many.
 */
export class GroupTelemetry {
  readonly #namespace: string
  readonly #group: string
  readonly #tracer: Tracer
  readonly #metrics: GroupMetrics | undefined
  readonly #attributes = new Map<number, Attributes>()
  readonly #observeLag: (result: ObservableResult) => void
  readonly #observeParked: (result: ObservableResult) => void
  readonly #observeProofAge: (result: ObservableResult) => void

  /** @param watch what is known of each partition of this worker */
  constructor(
    namespace: string,
    group: string,
    watch: Pick<HealthWatch, 'lags' | 'parkedKeys' | 'proofAges'>,
  ) {
    this.#namespace = namespace
    this.#group = group
    this.#tracer = trace.getTracer(scopeName)
    const meter = metrics.getMeter(scopeName)
    this.#metrics = meter === createNoopMeter() ? undefined : groupMetrics(meter)
    this.#observeLag = (result) => {
      for (const [partition, lag] of watch.lags()) result.observe(lag, this.#attributesOf(partition))
    }
    this.#observeParked = (result) => {
      for (const [partition, keys] of watch.parkedKeys()) result.observe(keys, this.#attributesOf(partition))
    }
    this.#observeProofAge = (result) => {
      for (const [partition, ageMs] of watch.proofAges()) {
        result.observe(ageMs / 1_000, this.#attributesOf(partition))
      }
    }
    this.#metrics?.lagChanges.addCallback(this.#observeLag)
    this.#metrics?.parkedKeys.addCallback(this.#observeParked)
    this.#metrics?.proofAge.addCallback(this.#observeProofAge)
  }

  close(): void {
    this.#metrics?.lagChanges.removeCallback(this.#observeLag)
    this.#metrics?.parkedKeys.removeCallback(this.#observeParked)
    this.#metrics?.proofAge.removeCallback(this.#observeProofAge)
  }

  /** Runs a call of the sink inside a span, and counts what it answers. */
  async apply(
    partition: number,
    changes: readonly Change[],
    attempt: number,
    call: () => Promise<readonly Outcome[]>,
  ): Promise<readonly Outcome[]> {
    const attributes = this.#attributesOf(partition)
    const links = linksOf(changes)
    const parent = parentOf(changes, links)
    const span = this.#tracer.startSpan(
      `process ${this.#namespace}`,
      { kind: SpanKind.CONSUMER, attributes, links },
      parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT,
    )
    if (!this.#metrics && !span.isRecording()) return await call()
    const [first, last] = [changes[0]!, changes.at(-1)!]
    span.setAttributes({ [names.position]: first.position, [names.attempt]: attempt })
    span.setAttributes(
      changes.length > 1
        ? { [names.batchCount]: changes.length, [names.positionLast]: last.position }
        : { [names.version]: first.version },
    )
    const startedAt = performance.now()
    let failure: string | undefined
    try {
      const outcomes = await context.with(trace.setSpan(context.active(), span), call)
      const failed = outcomes.find((outcome) => 'error' in outcome)
      failure = failed && 'error' in failed ? failed.error.code : undefined
      this.#count(attributes, changes, outcomes)
      return outcomes
    } catch (error) {
      failure = isHeadwaterError(error) ? error.code : 'Error'
      throw error
    } finally {
      if (failure !== undefined) {
        span.setAttribute(names.errorType, failure)
        span.setStatus({ code: SpanStatusCode.ERROR, message: failure })
      }
      span.end()
      const measured = failure === undefined ? attributes : { ...attributes, [names.errorType]: failure }
      this.#metrics?.duration.record((performance.now() - startedAt) / 1_000, measured)
      this.#metrics?.batchSize.record(changes.length, attributes)
    }
  }

  superseded(partition: number, count: number): void {
    if (count > 0) this.#add(this.#attributesOf(partition), 'superseded', count)
  }

  parked(partition: number, count: number): void {
    this.#add(this.#attributesOf(partition), 'parked', count)
  }

  rebalanced(partition: number, lease: 'acquired' | 'released' | 'lost'): void {
    this.#metrics?.rebalances.add(1, { ...this.#attributesOf(partition), [names.lease]: lease })
  }

  #count(attributes: Attributes, changes: readonly Change[], outcomes: readonly Outcome[]): void {
    if (!this.#metrics) return
    const counts = new Map<string, number>()
    let oldest = Number.POSITIVE_INFINITY
    for (const [index, { kind }] of outcomes.entries()) {
      const name = outcomeNames[kind]
      if (name) counts.set(name, (counts.get(name) ?? 0) + 1)
      if (kind === 'applied') oldest = Math.min(oldest, changes[index]!.time)
    }
    for (const [name, count] of counts) this.#add(attributes, name, count)
    // Two clocks: where they differ, a change must not have been applied before it was appended.
    if (oldest < Number.POSITIVE_INFINITY) {
      this.#metrics.lagTime.record(Math.max(0, Date.now() - oldest) / 1_000, attributes)
    }
  }

  #add(attributes: Attributes, outcome: string, count: number): void {
    this.#metrics?.changes.add(count, { ...attributes, [names.outcome]: outcome })
  }

  #attributesOf(partition: number): Attributes {
    let attributes = this.#attributes.get(partition)
    if (!attributes) {
      attributes = {
        [names.messagingSystem]: 'redis',
        [names.messagingSystemName]: 'redis',
        [names.operationName]: 'process',
        [names.operationType]: 'process',
        [names.destinationName]: this.#namespace,
        [names.destinationPartition]: String(partition),
        [names.consumerGroup]: this.#group,
      }
      this.#attributes.set(partition, attributes)
    }
    return attributes
  }
}

/** The append that all of these changes come from, where it is one: their trace goes on at the sink. */
function parentOf(changes: readonly Change[], links: readonly Link[]): SpanContext | undefined {
  const [link] = links
  if (!link || links.length > 1) return undefined
  return changes.every((change) => change.trace === changes[0]!.trace) ? link.context : undefined
}

/** The appends behind these changes, each once. */
function linksOf(changes: readonly Change[]): Link[] {
  const links = new Map<string, Link>()
  for (const { trace: text } of changes) {
    if (text === undefined || links.has(text)) continue
    const linked = parseTrace(text)
    if (linked) links.set(text, { context: linked })
    if (links.size === linksMax) break
  }
  return [...links.values()]
}

function groupMetrics(meter: Meter): GroupMetrics {
  return {
    changes: meter.createCounter(names.changes, {
      unit: '{change}',
      description: 'Changes by what became of them at the sink.',
    }),
    duration: meter.createHistogram(names.processDuration, {
      unit: 's',
      description: 'How long calls of the sink take.',
      advice: { explicitBucketBoundaries: secondsBuckets },
    }),
    batchSize: meter.createHistogram(names.applyBatchSize, {
      unit: '{change}',
      description: 'Changes that one call of the sink was given.',
      advice: { explicitBucketBoundaries: batchBuckets },
    }),
    lagTime: meter.createHistogram(names.lagTime, {
      unit: 's',
      description: 'From append to apply, of the oldest change of each call.',
      advice: { explicitBucketBoundaries: [...secondsBuckets, 30, 60, 300, 1_800, 7_200] },
    }),
    lagChanges: meter.createObservableGauge(names.lagChanges, {
      unit: '{change}',
      description: 'Changes in the log behind the checkpoint.',
    }),
    parkedKeys: meter.createObservableGauge(names.parkedKeys, {
      unit: '{key}',
      description: 'Keys set aside, each with what waits behind it.',
    }),
    proofAge: meter.createObservableGauge(names.proofAge, {
      unit: 's',
      description: 'Since the sink was last proven to hold what the log holds.',
    }),
    rebalances: meter.createCounter(names.rebalances, {
      unit: '{lease}',
      description: 'Leases acquired, released and lost.',
    }),
  }
}
