import { describe, it } from 'vitest'
import { sinkClaims } from './sink-claims.ts'
import type { SinkHarness } from './sink-harness.ts'

/** Tests with vitest that a sink keeps the contract: every claim that concerns what it supports. */
export function sinkConformance(name: string, harness: SinkHarness): void {
  describe(`the ${name} sink`, () => {
    for (const { claim, run } of sinkClaims.filter(({ concerns }) => concerns?.(harness) ?? true)) {
      // oxlint-disable-next-line vitest/expect-expect, vitest/valid-title -- a claim brings both
      it(claim, () => run(harness))
    }
  })
}
