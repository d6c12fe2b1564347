import {
  createNoopMeter,
  metrics,
  type Attributes,
  type Counter,
  type ObservableGauge,
  type ObservableResult,
} from '@opentelemetry/api'
import type { CaptureEvent } from './capture-event.ts'
import type { CaptureStatus } from './capture-lag.ts'

const scopeName = '@headwater/redis'

interface CaptureMetrics {
  readonly changes: Counter
  readonly copies: Counter
  readonly retries: Counter
  readonly lagBytes: ObservableGauge
  readonly lagTime: ObservableGauge
}

/** Metrics of one capture. Where no SDK is registered this costs nothing; it has to be registered before the capture starts. */
export class CaptureTelemetry {
  readonly #metrics: CaptureMetrics | undefined
  readonly #attributes: Attributes
  #stopObserving = (): void => {}

  constructor(capture: string, mode: 'commands' | 'state') {
    this.#attributes = { 'headwater.capture': capture, 'headwater.capture.mode': mode }
    const meter = metrics.getMeter(scopeName)
    if (meter === createNoopMeter()) return
    this.#metrics = {
      changes: meter.createCounter('headwater.capture.changes', {
        unit: '{change}',
        description: 'Values of the source by what became of them, or commands that were replayed.',
      }),
      copies: meter.createCounter('headwater.capture.copies', {
        unit: '{copy}',
        description: 'Full copies that were begun.',
      }),
      retries: meter.createCounter('headwater.capture.retries', {
        unit: '{retry}',
        description: 'How often source or target could not be used and were tried again.',
      }),
      lagBytes: meter.createObservableGauge('headwater.capture.lag.bytes', {
        unit: 'By',
        description: 'Received from the source and not applied yet.',
      }),
      lagTime: meter.createObservableGauge('headwater.capture.lag.time', {
        unit: 's',
        description: 'Since everything that was received was last applied.',
      }),
    }
  }

  /** From now on the lag is asked whenever metrics are collected. */
  observe(status: () => CaptureStatus): void {
    const made = this.#metrics
    if (!made) return
    const observeBytes = (result: ObservableResult): void =>
      result.observe(status().lagBytes, this.#attributes)
    const observeTime = (result: ObservableResult): void =>
      result.observe(status().lagSeconds, this.#attributes)
    made.lagBytes.addCallback(observeBytes)
    made.lagTime.addCallback(observeTime)
    this.#stopObserving = () => {
      made.lagBytes.removeCallback(observeBytes)
      made.lagTime.removeCallback(observeTime)
    }
  }

  /** Something was brought to the target: `appended`, `unchanged`, `rejected` or `replayed`. */
  changed(collection: string | undefined, outcome: string, count = 1): void {
    this.#metrics?.changes.add(count, {
      ...this.#attributes,
      ...(collection !== undefined && { 'headwater.collection': collection }),
      'headwater.outcome': outcome,
    })
  }

  event({ kind, ...facts }: CaptureEvent): void {
    if (kind === 'full-copy') this.#metrics?.copies.add(1, this.#attributes)
    if (kind === 'retrying' && 'side' in facts)
      this.#metrics?.retries.add(1, { ...this.#attributes, 'headwater.capture.side': facts.side })
  }

  close(): void {
    this.#stopObserving()
  }
}
