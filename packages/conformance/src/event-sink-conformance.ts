import { describe, it } from 'vitest'
import { eventSinkClaims } from './event-sink-claims.ts'
import type { EventSinkHarness } from './event-sink-harness.ts'

/**
 * As `sinkConformance`, of a sink that takes events: that it takes each once and in order, and keeps all that every sink
 * must keep of fences, positions and broken links.
 *
 * @param name goes into the names of the tests: `audit table`
 */
export function eventSinkConformance(name: string, harness: EventSinkHarness): void {
  describe(`the ${name} sink`, () => {
    for (const { claim, run } of eventSinkClaims.filter(({ concerns }) => concerns?.(harness) ?? true)) {
      // oxlint-disable-next-line vitest/expect-expect, vitest/valid-title -- a claim brings both
      it(claim, () => run(harness))
    }
  })
}
