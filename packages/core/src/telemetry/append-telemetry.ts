import {
  createNoopMeter,
  metrics,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Counter,
  type Gauge,
  type Histogram,
  type Meter,
  type Span,
  type Tracer,
} from '@opentelemetry/api'
import type { PreparedRequest } from '../append/prepared.ts'
import type { Durability } from '../namespace/durability.ts'
import { isHeadwaterError } from '../errors/headwater-error.ts'
import * as names from './attribute-names.ts'
import { batchBuckets, scopeName, secondsBuckets } from './instrumentation-scope.ts'
import { formatTrace } from './trace-context.ts'

/** What every span to a partition begins with. */
interface SpanShape {
  readonly kind: SpanKind
  readonly attributes: Attributes
}

/** The instruments of a meter that somebody reads. */
interface AppendMetrics {
  readonly sent: Counter
  readonly duration: Histogram
  readonly batchSize: Histogram
  readonly durability: Gauge
}

/**
 * Spans and metrics of appends. Where no SDK is registered this costs a few calls that do nothing: what they would be
 * given is made once for each partition. Metrics have to be registered before the log is opened, spans may come later.
 */
export class AppendTelemetry {
  readonly #namespace: string
  readonly #spanName: string
  readonly #tracer: Tracer
  readonly #metrics: AppendMetrics | undefined
  readonly #spans: (SpanShape | undefined)[] = []

  constructor(namespace: string) {
    this.#namespace = namespace
    this.#spanName = `send ${namespace}`
    this.#tracer = trace.getTracer(scopeName)
    const meter = metrics.getMeter(scopeName)
    this.#metrics = meter === createNoopMeter() ? undefined : appendMetrics(meter)
  }

  /** Follows a request from now until it settles, and puts the context of its span into it. */
  follow(partition: number, request: PreparedRequest): PreparedRequest {
    const shape = this.#shapeOf(partition)
    const { attributes } = shape
    const span = this.#tracer.startSpan(this.#spanName, shape)
    const traceContext = formatTrace(span.spanContext())
    if (!this.#metrics && !span.isRecording()) {
      return traceContext === undefined ? request : { ...request, trace: traceContext }
    }
    const startedAt = performance.now()
    const { resolve, reject, changes } = request
    if (changes.length > 1) span.setAttribute(names.batchCount, changes.length)
    return {
      ...request,
      trace: traceContext,
      resolve: (results) => {
        const [first, last] = [results[0]!, results.at(-1)!]
        span.setAttribute(names.position, first.position)
        if (results.length > 1) span.setAttribute(names.positionLast, last.position)
        else span.setAttribute(names.version, first.version)
        this.#ended(span, startedAt, attributes)
        this.#metrics?.sent.add(changes.length, attributes)
        resolve(results)
      },
      reject: (error) => {
        const type = isHeadwaterError(error) ? error.code : error.name
        span.setAttribute(names.errorType, type)
        // Without the message: it may quote keys.
        span.setStatus({ code: SpanStatusCode.ERROR, message: type })
        this.#ended(span, startedAt, { ...attributes, [names.errorType]: type })
        reject(error)
      },
    }
  }

  /** What the namespace promises of an acknowledged append, and how many replicas must have it for that. */
  declared(durability: Durability, replicas: number): void {
    const attributes = { [names.destinationName]: this.#namespace, [names.durability]: durability }
    this.#metrics?.durability.record(replicas, attributes)
  }

  /** A batch went out with so many changes. */
  batch(partition: number, changes: number): void {
    this.#metrics?.batchSize.record(changes, this.#shapeOf(partition).attributes)
  }

  #ended(span: Span, startedAt: number, attributes: Attributes): void {
    this.#metrics?.duration.record((performance.now() - startedAt) / 1_000, attributes)
    span.end()
  }

  #shapeOf(partition: number): SpanShape {
    return (this.#spans[partition] ??= {
      kind: SpanKind.PRODUCER,
      attributes: {
        [names.messagingSystem]: 'redis',
        [names.messagingSystemName]: 'redis',
        [names.operationName]: 'send',
        [names.operationType]: 'send',
        [names.destinationName]: this.#namespace,
        [names.destinationPartition]: String(partition),
      },
    })
  }
}

function appendMetrics(meter: Meter): AppendMetrics {
  return {
    sent: meter.createCounter(names.sentMessages, { unit: '{message}', description: 'Changes appended.' }),
    duration: meter.createHistogram(names.operationDuration, {
      unit: 's',
      description: 'From the call of append to its acknowledgement.',
      advice: { explicitBucketBoundaries: secondsBuckets },
    }),
    durability: meter.createGauge(names.durabilityReplicas, {
      unit: '{replica}',
      description: 'Replicas that must have an append before it is acknowledged, by the declared durability.',
    }),
    batchSize: meter.createHistogram(names.appendBatchSize, {
      unit: '{change}',
      description: 'Changes that went to a partition together.',
      advice: { explicitBucketBoundaries: batchBuckets },
    }),
  }
}
