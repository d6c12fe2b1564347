import { describe, it } from 'vitest'
import { sinkClaims } from './sink-claims.ts'
import type { SinkHarness } from './sink-harness.ts'

/**
 * Tests with vitest that a sink keeps the contract of `Sink`, on its real server: every claim that concerns what it
 * supports. Call it at the top of a test file, once for each way in which the sink can lay out its data.
 *
 * @param name goes into the names of the tests: `redis hash`
 */
export function sinkConformance(name: string, harness: SinkHarness): void {
  describe(`the ${name} sink`, () => {
    for (const { claim, run } of sinkClaims.filter(({ concerns }) => concerns?.(harness) ?? true)) {
      // oxlint-disable-next-line vitest/expect-expect, vitest/valid-title -- a claim brings both
      it(claim, () => run(harness))
    }
  })
}
