import type { ClusterTarget, Durability } from '@headwater/core'
import type { OwnRedisServer } from '@headwater/local-servers'
import type { Cluster, Redis, RedisOptions } from 'ioredis'
import type { Links } from '../links.ts'
import type { Roll } from './roll.ts'

/** Where a log can live. */
export type DeploymentName = 'single' | 'sentinel' | 'cluster'

/** The servers of a log. Faults reach them directly, clients also through links that break. */
export interface Deployment extends AsyncDisposable {
  readonly name: DeploymentName
  /** What the namespace declares, and so what no fault of this deployment may lose. */
  readonly durability: Durability
  readonly replicas: number
  /** All that hold data. */
  readonly servers: readonly OwnRedisServer[]
  /** Which of them a fault has killed. */
  readonly roll: Roll
  /** Straight to the log. */
  readonly target: RedisOptions | ClusterTarget
  /** To the log by way of links, one for each server. */
  through(links: Links): RedisOptions | ClusterTarget
  /** A plain client, straight to the log. */
  openClient(): Redis | Cluster
  /** Which of `servers` are masters now. */
  masters(): Promise<readonly number[]>
  /** Starts what is dead, and waits until all is as at first: every replica in step with a master. */
  mend(): Promise<void>
}
