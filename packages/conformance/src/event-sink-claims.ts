import { brokenLinkClaims } from './claims/broken-link.ts'
import { eventClaims, type EventSinkClaim } from './claims/events.ts'
import { fencingClaims } from './claims/fencing.ts'
import { lifetimeClaims } from './claims/lifetime.ts'
import { positionClaims } from './claims/position.ts'
import { asStates } from './event-sink-harness.ts'

/** What is claimed of every sink, whatever it takes. */
const shared = [...fencingClaims, ...positionClaims, ...brokenLinkClaims, ...lifetimeClaims]

/** Everything that the kit claims of a sink that takes events. */
export const eventSinkClaims: readonly EventSinkClaim[] = [
  ...eventClaims,
  ...shared.map(({ claim, run }): EventSinkClaim => ({ claim, run: (harness) => run(asStates(harness)) })),
]
