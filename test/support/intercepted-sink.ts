import type { Change, Outcome, Sink, SinkCapabilities } from '@headwater/core'

/** Lets changes pass to the sink, or answers for them itself. */
export type Intercept = (
  changes: readonly Change[],
  pass: (changes: readonly Change[]) => Promise<readonly Outcome[]>,
) => Promise<readonly Outcome[]>

/** A sink with somebody before it, through whom all calls go; with other capabilities, where they are given. */
export function intercepted<T>(
  sink: Sink<T>,
  intercept: Intercept,
  capabilities: Partial<SinkCapabilities> = {},
): Sink<T> {
  const having = { ...sink.capabilities, ...capabilities }
  return {
    ...sink,
    capabilities: having,
    async open(opening) {
      const opened = await sink.open(opening)
      return {
        position: opened.position,
        apply: (changes, position, applying) =>
          intercept(changes, (passed) => opened.apply(passed, position, applying)),
        advance: (position) => opened.advance(position),
        ...(having.snapshot && { snapshot: () => opened.snapshot!() }),
        close: () => opened.close(),
      }
    },
  }
}
