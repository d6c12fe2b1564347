export type { AppendOptions } from './append/appender.ts'
export type { Decision, DecideOptions } from './append/decide.ts'
export type { AppendResult } from './append/append-result.ts'
export type { ChangeRequest, DeleteRequest, PatchRequest, PutRequest } from './append/change-request.ts'
export type { Expected } from './append/expected.ts'
export { VersionConflictError } from './append/version-conflict-error.ts'
export {
  archive,
  stopArchiving,
  type ArchiveOptions,
  type ArchiveProgress,
  type PartitionArchived,
} from './archive/archive.ts'
export type { ArchiveStore } from './archive/archive-store.ts'
export { verifyArchive, type ArchivedPartition, type ArchiveReadProgress } from './archive/verify-archive.ts'
export { directoryArchive } from './archive/directory-archive.ts'
export { canonicalJson } from './change/canonical-json.ts'
export type { Change, ChangeKind } from './change/change.ts'
export { formatPosition, parsePosition, type Position, type PositionParts } from './change/position.ts'
export { readablePayload } from './change/readable-payload.ts'
export { compareStamps, parseSortableStamp, sortableStamp, stampZero, type Stamp } from './change/stamp.ts'
export { formatVersion, parseVersion, type Version, type VersionParts } from './change/version.ts'
export {
  defineCollection,
  type AnyCollection,
  type CollectionOf,
  type Collection,
  type CollectionOptions,
  type StateKept,
} from './collection/collection.ts'
export {
  defineDecider,
  type AnyDecider,
  type Decider,
  type DeciderOptions,
  type Decides,
  type EventOf,
  type EventSchemas,
} from './collection/decider.ts'
export type { Upcasters } from './collection/upcast.ts'
export type { GroupStart } from './copy/group-start.ts'
export { cancelRebuild, rebuild, type RebuildOptions, type RebuildReport } from './copy/rebuild.ts'
export type { RebuildProgress } from './copy/rebuild-progress.ts'
export { replay, type ReplayOptions, type ReplayProgress, type ReplayReport } from './copy/replay.ts'
export { errorCodes, type ErrorCode } from './errors/error-codes.ts'
export { HeadwaterError, isHeadwaterError } from './errors/headwater-error.ts'
export { diagnose, type Diagnosis, type DiagnoseOptions } from './doctor/diagnose.ts'
export type { Finding, Severity } from './doctor/finding.ts'
export type { Role } from './doctor/permissions.ts'
export type { Feed, FeedOptions } from './feed/feed.ts'
export type { FeedRetain } from './feed/feed-hold.ts'
export type { FeedChange } from './feed/feed-change.ts'
export type { FeedPosition } from './feed/feed-position.ts'
export {
  feedHandler,
  type FeedHandler,
  type FeedHandlerOptions,
  type FeedPermission,
  type FeedRequest,
} from './feed/sse.ts'
export type { FeedStart } from './feed/subscription.ts'
export {
  atomicSink,
  type AtomicHolding,
  type AtomicOpening,
  type AtomicRow,
  type AtomicTarget,
  type AtomicWriting,
} from './sink/atomic-sink.ts'
export type { CellName, CellsQuery, DigestCell, DigestQuery } from './sink/digest.ts'
export { guardSink, type GuardOptions } from './sink/guarded-sink.ts'
export { memorySink, type MemorySink, type MemorySinkOptions, type MemoryTarget } from './sink/memory-sink.ts'
export type { CopyStatus, PartitionStatus } from './group/group-status.ts'
export type { AppliedAnswer, WhenAppliedOptions } from './group/when-applied.ts'
export type { ReadOptions } from './log/read.ts'
export type { Moment } from './log/history.ts'
export { connect, type ConnectOptions } from './namespace/connect.ts'
export type { Durability } from './namespace/durability.ts'
export type { Log } from './namespace/log.ts'
export type { StoredCollection } from './namespace/metadata.ts'
export type { ParkedChange, ParkedDetail, ParkedEntry, ParkedFilter } from './parking/parked-entry.ts'
export type { DropOptions, DropReport, EditOptions, ParkedName, Parking } from './parking/parking.ts'
export type { RedriveOptions, RedriveReport } from './parking/redrive.ts'
export type { Origin, OriginOptions, OriginOutcome, OriginValue } from './origin/origin.ts'
export { EncodedCommand } from './redis/encoded-command.ts'
export type { ClusterTarget, Credentials, RedisTarget } from './redis/target.ts'
export { rewind, type RewindOptions, type RewoundPartition } from './group/rewind.ts'
export { retireGroup, type RetireOptions } from './group/retire-group.ts'
export type { HoldKind } from './retention/holds.ts'
export {
  retention,
  type Holder,
  type PartitionRetention,
  type RetentionReport,
} from './retention/retention.ts'
export {
  purgeIdempotencyRecords,
  purgeProducers,
  purgeTombstones,
  type PurgeOptions,
  type PurgeProducersOptions,
  type PurgeProgress,
} from './retention/purge.ts'
export { purgeSinkTombstones, type PurgeSinkOptions } from './retention/purge-sink.ts'
export { setRetention, type RetentionSettings } from './retention/settings.ts'
export { trim, type PartitionTrim, type TrimOptions, type TrimProgress } from './retention/trim.ts'
export type { DrainOptions, GroupSettings, PartitionChoice, Steering } from './steering/steering.ts'
export type { GroupSteering, SteeringState } from './steering/steering-state.ts'
export type { Entity } from './state/state-reader.ts'
export { applied, gap, reject, retry, stale, type Outcome } from './sink/outcome.ts'
export type {
  AnySink,
  Fence,
  OpenPartitionOptions,
  PartitionSnapshot,
  Replacement,
  ReplaceOutcome,
  Sink,
  SinkCapabilities,
  SinkPartition,
  SinkPosition,
  SinkRow,
  SinkValue,
} from './sink/sink.ts'
export type { SinkVersions, SwitchRight, VersionList } from './sink/sink-versions.ts'
export type { Logger } from './telemetry/logger.ts'
export { fakeLog, type FakeLogOptions, type LogForApplications } from './testing/fake-log.ts'
export { specification, type Specification, type SpecifiedCommand } from './testing/specification.ts'
export { scrub, type ScrubFinding, type ScrubOptions, type ScrubReport } from './proof/scrub.ts'
export type { ScrubProgress, ScrubStatus } from './proof/scrub-progress.ts'
export type { CheckResult, PartitionProof } from './proof/partition-proof.ts'
export type { GroupHealth, ProofHealth } from './worker/group-health.ts'
export type { GroupOptions } from './worker/group-settings.ts'
export { startWorker, type Worker, type WorkerHealth } from './worker/worker.ts'
export type { WorkerOptions } from './worker/worker-settings.ts'
export type { WorkerEvent } from './worker/worker-event.ts'
export type { Backoff } from './redis/backoff.ts'
export {
  findLost,
  type FindLostOptions,
  type LostKey,
  type LostRange,
  type LostReport,
} from './lost/find-lost.ts'
export type { Verdict } from './verify/verdict.ts'
export {
  repair,
  type ForeignPolicy,
  type RepairEntry,
  type RepairOptions,
  type RepairReport,
} from './verify/repair.ts'
export { verify, type Difference, type VerifyOptions, type VerifyReport } from './verify/verify.ts'
export {
  compareHybridTimes,
  HybridClock,
  type HybridClockOptions,
  type HybridTime,
} from './nodes/hybrid-clock.ts'
export {
  compareNode,
  type CompareNodeOptions,
  type LogState,
  type NodeComparison,
  type NodeVerdict,
} from './nodes/compare-node.ts'
export type { Node, NodeRow } from './nodes/node.ts'
export {
  syncRound,
  type RoundOptions,
  type RoundProgress,
  type RoundReport,
  type RoundStep,
} from './nodes/round.ts'
export { nodeSets, type NodeSet } from './nodes/node-sets.ts'
export { checkQuorums, weightOf, type Quorums } from './nodes/quorum.ts'
export {
  mergeVersions,
  noVersions,
  writeVersion,
  type Context,
  type SiteVersion,
  type Versions,
} from './nodes/versions.ts'
export {
  mergeCounters,
  mergeLastWrites,
  mergeSets,
  winnerOf,
  type CounterValue,
  type ElectionRules,
  type LastWritesValue,
  type SetValue,
} from './nodes/winner.ts'
export { whenHeld, type WhenAppliedAtNodesOptions, type WhenHeldOptions } from './nodes/when-held.ts'
export { startSite, type Site, type SiteEvent, type SiteOptions } from './sites/site.ts'
export type { SiteNode } from './sites/site-node.ts'
export {
  compareSinks,
  type CompareOptions,
  type CompareReport,
  type CopyDifference,
  type CopyVerdict,
} from './verify/compare-sinks.ts'
