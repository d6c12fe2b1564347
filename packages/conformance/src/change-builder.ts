import { createHash } from 'node:crypto'
import {
  canonicalJson,
  formatPosition,
  formatVersion,
  type Change,
  type ChangeKind,
  type Collection,
} from '@headwater/core'

export interface ChangeBuilderOptions<T> {
  readonly collection: Collection<T>
  /** Default 0. */
  readonly partition?: number
}

/** Where a change stands, when the test is about just that. Default: next in the partition, next version of the key. */
export interface ChangePlace {
  readonly epoch?: number
  readonly sequence?: number
  readonly version?: number
  readonly hash?: bigint
}

/** Makes changes as a partition of a log would hold them, one after the other. */
export interface ChangeBuilder<T> {
  put(value: T, place?: ChangePlace): Change<T>
  delete(key: string, place?: ChangePlace): Change<T>
  /** The partition after a failover that lost everything after this sequence: the next epoch continues from there. */
  fork(afterSequence: number): ChangeBuilder<T>
}

export function changeBuilder<T>({ collection, partition = 0 }: ChangeBuilderOptions<T>): ChangeBuilder<T> {
  return partitionBuilder(collection, partition, 1, [])
}

interface PastChange {
  readonly key: string
  readonly sequence: number
  readonly version: number
}

function partitionBuilder<T>(
  collection: Collection<T>,
  partition: number,
  currentEpoch: number,
  inherited: readonly PastChange[],
): ChangeBuilder<T> {
  const past = [...inherited]

  function build(kind: ChangeKind, key: string, payload: string, place: ChangePlace): Change<T> {
    const epoch = place.epoch ?? currentEpoch
    const sequence = place.sequence ?? (past.at(-1)?.sequence ?? 0) + 1
    const version = place.version ?? (past.findLast((earlier) => earlier.key === key)?.version ?? 0) + 1
    past.push({ key, sequence, version })
    let value: T | undefined
    return {
      collection: collection.name,
      key,
      kind,
      partition,
      bucket: key.length % 16,
      stamp: { epoch, sequence },
      position: formatPosition(partition, { epoch, sequence }),
      version: formatVersion(version, epoch),
      schemaVersion: collection.schemaVersion,
      time: 1_700_000_000_000 + sequence,
      payload,
      get value() {
        if (kind === 'put') value ??= JSON.parse(payload) as T
        return value
      },
      hash: place.hash ?? contentHash(kind, key, payload),
      metadata: {},
    }
  }

  return {
    put: (value, place = {}) => build('put', collection.keyOf(value), canonicalJson(value), place),
    delete: (key, place = {}) => build('delete', key, '', place),
    fork: (afterSequence) =>
      partitionBuilder(
        collection,
        partition,
        currentEpoch + 1,
        past.filter(({ sequence }) => sequence <= afterSequence),
      ),
  }
}

/** 63 bits and never 0, as the log's own hash; any function would do. */
function contentHash(kind: ChangeKind, key: string, payload: string): bigint {
  if (kind === 'delete') return 0n
  const digest = createHash('sha256').update(JSON.stringify(key)).update(payload).digest()
  return BigInt.asUintN(63, digest.readBigUInt64BE()) || 1n
}
