import { locate, type Router } from '../append/prepare.ts'
import { canonicalJson } from '../change/canonical-json.ts'
import type { Change } from '../change/change.ts'
import { formatPosition } from '../change/position.ts'
import { formatVersion } from '../change/version.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { changeAt } from '../log/change-at.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { StateReader } from './state-reader.ts'
import { stateValue, type StateRecord } from './state-record.ts'

/** What a sink of states must be given to hold each key as the log does: a put in the present schema, or a delete. */
export class LatestChanges {
  readonly #parts: LogParts
  readonly #router: Router
  readonly #state: StateReader

  constructor(parts: LogParts, router: Router) {
    const { connection, keys, deadlineMs } = parts
    this.#parts = parts
    this.#router = router
    this.#state = new StateReader(connection, keys, router, deadlineMs)
  }

  /**
   * In the order of the keys; undefined for a key that never was, and for one whose value is neither kept beside the log
   * nor in the log any more.
   */
  async read(collection: AnyCollection, keys: readonly string[]): Promise<(Change | undefined)[]> {
    const records = await this.#state.records(collection, keys)
    return await Promise.all(
      records.map(
        async (record, index) => record && (await this.#changeOf(collection, keys[index]!, record)),
      ),
    )
  }

  async #changeOf(collection: AnyCollection, key: string, record: StateRecord): Promise<Change | undefined> {
    const { partition, bucket } = locate(this.#router, collection, key)
    const { stamp, version, hash, deleted, schemaVersion } = record
    let value: unknown
    if (!deleted) {
      if (record.payload === '') {
        const change = await changeAt(this.#parts, partition, stamp)
        if (change?.key !== key || change.collection !== collection.name) return undefined
        value = change.value
      } else {
        value = stateValue(collection, key, record)
      }
    }
    return {
      collection: collection.name,
      key,
      kind: deleted ? 'delete' : 'put',
      partition,
      bucket,
      stamp,
      position: formatPosition(partition, stamp),
      version: formatVersion(version, stamp.epoch),
      schemaVersion,
      time: 0,
      payload: deleted ? '' : canonicalJson(value),
      value,
      hash,
      metadata: {},
    }
  }
}
