export { aBook, books, type Book } from './books.ts'
export { breakable } from './breakable.ts'
export {
  changeBuilder,
  type ChangeBuilder,
  type ChangeBuilderOptions,
  type ChangePlace,
} from './change-builder.ts'
export type { EventSinkClaim } from './claims/events.ts'
export { eventSinkClaims } from './event-sink-claims.ts'
export { eventSinkConformance } from './event-sink-conformance.ts'
export type { EventSinkHarness, EventSinkTarget, TakenEvent } from './event-sink-harness.ts'
export { notes, type Note } from './notes.ts'
export type { SinkClaim } from './sink-claim.ts'
export { sinkClaims } from './sink-claims.ts'
export { sinkConformance } from './sink-conformance.ts'
export type { FaultyLink, FaultySink, SinkHarness, SinkTarget } from './sink-harness.ts'
