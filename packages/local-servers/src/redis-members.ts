import type { OwnRedisServer } from './redis.ts'
import { RedisNode, type RedisNodeOptions } from './redis-node.ts'

/** One server of a Cluster or a Sentinel set; it listens on a port of 127.0.0.1. */
export interface RedisMember extends OwnRedisServer {
  readonly host: string
  readonly port: number
}

/** Starts several servers on free ports; when one does not start, the others end. */
export async function startMembers(all: readonly Omit<RedisNodeOptions, 'port'>[]): Promise<RedisMember[]> {
  const starts = await Promise.allSettled(all.map((options) => RedisNode.start({ ...options, port: true })))
  const members = starts.flatMap((start) =>
    start.status === 'fulfilled' ? [start.value as RedisMember] : [],
  )
  const failure = starts.find((start) => start.status === 'rejected')
  if (failure === undefined) return members
  await stopMembers(members)
  throw failure.reason
}

/** Ends several servers at once. */
export async function stopMembers(members: readonly RedisMember[]): Promise<void> {
  await Promise.all(members.map((member) => member.stop()))
}
