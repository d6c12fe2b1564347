import { context, metrics, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { SimpleSpanProcessor, TracerProvider, type SpanExporter } from '@opentelemetry/sdk-trace'

interface Measured {
  readonly attributes: Readonly<Record<string, unknown>>
  readonly value: unknown
}

export interface RegisteredSdk {
  /** What was measured so far under a name. */
  measured(name: string): Promise<Measured[]>
  /** Ends export and takes the global providers away. */
  stop(): Promise<void>
}

/** Registers an SDK for this process, as an application does before it connects. */
export function registerSdk(exporter: SpanExporter): RegisteredSdk {
  const tracers = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
  const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({
    exporter: metricExporter,
    exportIntervalMillis: 3_600_000,
    exportTimeoutMillis: 1_000,
  })
  const meters = new MeterProvider({ readers: [reader] })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  trace.setGlobalTracerProvider(tracers)
  metrics.setGlobalMeterProvider(meters)
  return {
    async measured(name) {
      metricExporter.reset()
      await meters.forceFlush()
      return metricExporter
        .getMetrics()
        .flatMap(({ scopeMetrics }) => scopeMetrics)
        .flatMap((scope) => scope.metrics)
        .filter(({ descriptor }) => descriptor.name === name)
        .flatMap(({ dataPoints }) =>
          dataPoints.map(({ attributes, value }) => ({ attributes, value: value as unknown })),
        )
    },
    async stop() {
      await tracers.shutdown()
      await meters.shutdown()
      trace.disable()
      metrics.disable()
      context.disable()
    },
  }
}
