import type { Fence, Sink } from './sink.ts'

/**
 * Versions of a sink's target beside each other, of which readers see one: what `rebuild` builds and switches. The sink itself
 * always is the version that readers see, also after a switch by another process: a partition that is opened then is one of the
 * new version. Only where `capabilities.versions`.
 */
export interface SinkVersions<T = unknown> {
  /** Which there are. A target that was never switched is version 1. */
  list(): Promise<VersionList>
  /**
   * A sink on a version that readers do not see. Its `prepare` makes it where it does not exist, with everything that readers
   * will want of it.
   */
  open(version: number): Sink<T>
  /**
   * Makes this version the one that readers see: in one step, so that nobody sees a mixture, and only if the partitions of the
   * version before are still held under these fences. Whoever has one of them open is fenced by it. Doing it again, when it
   * was done, changes nothing.
   *
   * @throws HeadwaterError SINK_FENCED when somebody else has opened a partition since, SINK_MISCONFIGURED
   */
  switchTo(version: number, right: SwitchRight): Promise<void>
  /**
   * Removes a version that readers do not see, with its books. Can be interrupted and repeated.
   *
   * @throws HeadwaterError OPTION_INVALID for the one that readers see
   */
  drop(version: number): Promise<void>
}

export interface VersionList {
  readonly current: number
  /** In rising order: below `current` old ones, above it one that is being built. */
  readonly others: readonly number[]
}

/** The right to switch, as the owner of all partitions. */
export interface SwitchRight {
  readonly group: string
  /** By partition: under which the partitions of the present version were opened. */
  readonly fences: readonly Fence[]
  /** The group that has built the version: its books there are of no use any more. */
  readonly builtBy: string
}
