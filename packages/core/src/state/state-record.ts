import type { ChangeKind } from '../change/change.ts'
import { hashOfLanes } from '../change/content-hash.ts'
import type { Stamp } from '../change/stamp.ts'

/** What the log keeps beside itself of one key. */
export interface StateRecord {
  readonly stamp: Stamp
  readonly version: number
  /** 0 for a deleted key. */
  readonly hash: bigint
  readonly deleted: boolean
  /** What the latest change of the key was. */
  readonly kind: ChangeKind
  /** Under which the value was stored. */
  readonly schemaVersion: number
  /** Canonical JSON, as stored; of a decider its folded state. Empty where the key is deleted or no values are kept. */
  readonly payload: string
}

/**
 * The layout that the append script writes with `struct.pack('>I4I6I6I4I5BI2', …)`: epoch, sequence, version, the two
 * lanes of the hash, 1 put, 2 delete or 3 event, the schema version; then the payload. Binary, because as text it costs the script 40 % more.
 */
export const stateHeadBytes = 28
const kinds: readonly (ChangeKind | undefined)[] = [undefined, 'put', 'delete', 'event']

export function decodeStateRecord(bytes: Buffer): StateRecord {
  return {
    stamp: { epoch: bytes.readUInt32BE(0), sequence: bytes.readUIntBE(4, 6) },
    version: bytes.readUIntBE(10, 6),
    hash: hashOfLanes(bytes.readUInt32BE(16), bytes.readUIntBE(20, 5)),
    deleted: bytes[25] === 2,
    kind: kinds[bytes[25]!] ?? 'put',
    schemaVersion: bytes.readUInt16BE(26),
    payload: bytes.toString('utf8', stateHeadBytes),
  }
}
