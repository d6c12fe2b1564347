import type { Change, Sink } from '@headwater/core'

/** The same sink, but what it has applied is told. */
export function watchSink<T>(sink: Sink<T>, onApplied: (changes: readonly Change[]) => void): Sink<T> {
  return {
    ...sink,
    async open(options) {
      const opened = await sink.open(options)
      return {
        ...(opened.snapshot && { snapshot: () => opened.snapshot!() }),
        position: opened.position,
        async apply(changes, position, applyOptions) {
          const outcomes = await opened.apply(changes, position, applyOptions)
          onApplied(changes)
          return outcomes
        },
        advance: (position) => opened.advance(position),
        close: () => opened.close(),
      }
    },
  }
}
