import { createTraceState, INVALID_TRACEID, isSpanContextValid, type SpanContext } from '@opentelemetry/api'

/** As it lies in the log: a W3C `traceparent`, and after a space `tracestate` where there is one. Undefined where nobody traces. */
export function formatTrace(context: SpanContext): string | undefined {
  // The first comparison for speed: it is what every append finds where nobody traces.
  if (context.traceId === INVALID_TRACEID || !isSpanContextValid(context)) return undefined
  const flags = (context.traceFlags & 0xff).toString(16).padStart(2, '0')
  const parent = `00-${context.traceId}-${context.spanId}-${flags}`
  const state = context.traceState?.serialize()
  // Lines are what separates them in the log.
  return state && !state.includes('\n') ? `${parent} ${state}` : parent
}

/** Undefined for what is none: anybody can write to Redis. */
export function parseTrace(text: string): SpanContext | undefined {
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?: (.*))?$/.exec(text)
  if (!match) return undefined
  const [, traceId = '', spanId = '', flags = '', state] = match
  const context: SpanContext = {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
    ...(state && { traceState: createTraceState(state) }),
  }
  return isSpanContextValid(context) ? context : undefined
}
