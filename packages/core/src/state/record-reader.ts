import type { AnyCollection } from '../collection/collection.ts'
import type { StateRecord } from './state-record.ts'

/** Reads what the state keeps of keys. */
export interface RecordReader {
  records(collection: AnyCollection, keys: readonly string[]): Promise<(StateRecord | undefined)[]>
}
