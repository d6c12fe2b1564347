import type { Connection, RedisClient } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'

/** Repeats a command that is safe to repeat; `doing` is for messages. */
export type WithinLease = <T>(doing: string, command: (client: RedisClient) => Promise<T>) => Promise<T>

/** Repeats commands for as long as a lease lasts, in ms: after that, somebody else has the partition anyway. */
export function withinLease(connection: Connection, leaseMs: number): WithinLease {
  return (doing, command) => persist(connection, { doing, deadlineMs: leaseMs }, command)
}
