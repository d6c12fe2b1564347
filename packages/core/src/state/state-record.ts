import { hashOfLanes } from '../change/content-hash.ts'
import type { Stamp } from '../change/stamp.ts'

/** What the log keeps beside itself of one key. */
export interface StateRecord {
  readonly stamp: Stamp
  readonly version: number
  /** 0 for a deleted key. */
  readonly hash: bigint
  readonly deleted: boolean
  /** Canonical JSON; empty where the key is deleted or the collection keeps no values. */
  readonly payload: string
}

/**
 * The layout that the append script writes with `struct.pack('>I4I6I6I4I5B', …)`: epoch, sequence, version, the two
 * lanes of the hash, 1 put or 2 delete; then the payload. Binary, because as text it costs the script 40 % more.
 */
export const stateHeadBytes = 26

export function decodeStateRecord(bytes: Buffer): StateRecord {
  return {
    stamp: { epoch: bytes.readUInt32BE(0), sequence: bytes.readUIntBE(4, 6) },
    version: bytes.readUIntBE(10, 6),
    hash: hashOfLanes(bytes.readUInt32BE(16), bytes.readUIntBE(20, 5)),
    deleted: bytes[25] === 2,
    payload: bytes.toString('utf8', stateHeadBytes),
  }
}
