/** Under which name tracer and meter are asked for: the instrumentation scope. */
export const scopeName = '@headwater/core'

/** For durations in seconds, as the semantic conventions advise. */
export const secondsBuckets: number[] = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
]

/** For changes in one batch. */
export const batchBuckets: number[] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000]
