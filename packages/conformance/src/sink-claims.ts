import { brokenLinkClaims } from './claims/broken-link.ts'
import { capabilityClaims } from './claims/capabilities.ts'
import { digestClaims } from './claims/digest.ts'
import { fencingClaims } from './claims/fencing.ts'
import { lifetimeClaims } from './claims/lifetime.ts'
import { newestWinsClaims } from './claims/newest-wins.ts'
import { positionClaims } from './claims/position.ts'
import { replicaClaims } from './claims/replica.ts'
import { replaceClaims } from './claims/replace.ts'
import { snapshotClaims } from './claims/snapshot.ts'
import { valueClaims } from './claims/values.ts'
import type { SinkClaim } from './sink-claim.ts'

/** Everything that the kit claims of a sink, for runners other than vitest and for tests of the kit itself. */
export const sinkClaims: readonly SinkClaim[] = [
  ...replicaClaims,
  ...newestWinsClaims,
  ...fencingClaims,
  ...positionClaims,
  ...brokenLinkClaims,
  ...valueClaims,
  ...replaceClaims,
  ...digestClaims,
  ...snapshotClaims,
  ...capabilityClaims,
  ...lifetimeClaims,
]
