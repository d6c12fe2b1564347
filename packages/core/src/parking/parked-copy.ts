import { restoreChange, type BatchContext } from '../change/batch.ts'
import { canonicalJson } from '../change/canonical-json.ts'
import type { Change, ChangeKind } from '../change/change.ts'
import type { Stamp } from '../change/stamp.ts'
import { parseStored } from './parse-stored.ts'

/** A change that was set aside, as the parked stream holds it. */
export interface ParkedCopy {
  /** The entry of the parked stream. */
  readonly id: string
  readonly change: Change
  /** Why it, or the change it stands behind, was set aside. */
  readonly code: string
  readonly reason: string
}

interface StoredCopy {
  readonly collection: string
  readonly key: string
  readonly kind: ChangeKind
  readonly version: string
  readonly stamp: Stamp
  readonly schemaVersion: number
  readonly time: number
  readonly payload: string
  readonly metadata: Readonly<Record<string, string>>
  readonly trace?: string
}

/** Everything that feeding it back needs: the log may be trimmed by then. */
export function encodeCopy(change: Change): string {
  const { collection, key, kind, version, stamp, schemaVersion, time, payload, metadata, trace } = change
  const stored: StoredCopy = {
    collection,
    key,
    kind,
    version,
    stamp: { ...stamp },
    schemaVersion,
    time,
    payload,
    metadata: { ...metadata },
    ...(trace !== undefined && { trace }),
  }
  return canonicalJson(stored)
}

/** The change that a copy was made of. */
export function decodeCopy(context: BatchContext, partition: number, json: string): Change {
  const stored = parseStored('copy of a parked change', json) as unknown as StoredCopy
  return restoreChange(context, { ...stored, partition, metadata: canonicalJson(stored.metadata) })
}
