/** How long to wait before another try, in ms. */
export interface Backoff {
  readonly firstMs: number
  readonly maxMs: number
}

/**
 * Exponential back-off with full jitter: a random delay between 0 and the doubled bound, so that many clients
 * that failed together do not come back together.
 * Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 *
 * @param attempt 1 for the first retry
 */
export function backoffMs(
  { firstMs, maxMs }: Backoff,
  attempt: number,
  random: () => number = Math.random,
): number {
  const bound = Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30))
  return Math.ceil(bound * random())
}
