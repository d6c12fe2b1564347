import type { ChangeKind } from '../change/change.ts'
import { hashOfLanes, unpackLanes } from '../change/content-hash.ts'
import type { Stamp } from '../change/stamp.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { upcast } from '../collection/upcast.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'

/** What the log keeps beside itself of one key, but for its value. */
export interface StateHead {
  readonly stamp: Stamp
  readonly version: number
  /** 0 for a deleted key. */
  readonly hash: bigint
  readonly deleted: boolean
  /** What the latest change of the key was. */
  readonly kind: ChangeKind
  /** Under which the value was stored. */
  readonly schemaVersion: number
}

export interface StateRecord extends StateHead {
  /** Canonical JSON, as stored; of a decider its folded state. Empty where the key is deleted or no values are kept. */
  readonly payload: string
}

const kinds: Readonly<Record<number, ChangeKind | undefined>> = { 0x70: 'put', 0x64: 'delete', 0x65: 'event' }

/**
 * The layout that the append script puts together: epoch and first sequence of the batch (6 bytes each); what the client
 * brought in characters of seven bits: number in the batch (2), hash (9), operation (a letter), schema version (3); then the
 * version in decimal. The script copies all but the version, because computing costs Lua more than anything else.
 *
 * @throws HeadwaterError LOG_DAMAGED
 */
export function decodeHead(bytes: Buffer): StateHead {
  const kind = kinds[bytes[23] ?? 0]
  const version = Number(bytes.toString('latin1', 27))
  if (!kind || !Number.isSafeInteger(version) || version < 1) {
    throw new HeadwaterError(
      'LOG_DAMAGED',
      `The state beside the log holds a record of ${bytes.length} bytes that is none of ours: somebody has written there. Restore it, or move to a new log.`,
    )
  }
  const { high, low } = unpackLanes(bytes, 14)
  return {
    stamp: {
      epoch: bytes.readUIntBE(0, 6),
      sequence: bytes.readUIntBE(6, 6) + bytes[12]! * 128 + bytes[13]!,
    },
    version,
    hash: hashOfLanes(high, low),
    deleted: kind === 'delete',
    kind,
    schemaVersion: (bytes[24]! * 128 + bytes[25]!) * 128 + bytes[26]!,
  }
}

/**
 * With the value that was read in the same moment.
 *
 * @throws HeadwaterError LOG_DAMAGED where a value should be and is none
 */
export function decodeRecord(
  { name, state }: AnyCollection,
  key: string,
  head: Buffer,
  value: Buffer | null | undefined,
): StateRecord {
  const { stamp, version, hash, deleted, kind, schemaVersion } = decodeHead(head)
  const kept = state === 'values' && !deleted
  if (kept && !value) {
    throw new HeadwaterError(
      'LOG_DAMAGED',
      `The value of key ${JSON.stringify(key)} of ${name} is gone from the state beside the log: somebody deleted it there.`,
    )
  }
  const payload = kept && value ? value.toString() : ''
  return { stamp, version, hash, deleted, kind, schemaVersion, payload }
}

/**
 * The value of a live key, in the present shape of its collection.
 *
 * @throws HeadwaterError LOG_DAMAGED, UPCAST_FAILED
 */
export function stateValue(
  collection: AnyCollection,
  key: string,
  { schemaVersion, payload }: StateRecord,
): unknown {
  return upcast(collection, 'put', schemaVersion, parseValue(collection, key, payload))
}

function parseValue({ name }: AnyCollection, key: string, payload: string): unknown {
  try {
    return JSON.parse(payload) as unknown
  } catch (error) {
    throw new HeadwaterError(
      'LOG_DAMAGED',
      `The value of key ${JSON.stringify(key.slice(0, 100))} of ${name} in the state beside the log is no JSON: somebody has written there. Appending the key anew puts it right.`,
      { cause: error },
    )
  }
}
