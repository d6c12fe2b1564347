import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import type { AnyCollection } from './collection.ts'

/**
 * Refuses a collection that a log was not given, or that is another definition of the same name.
 *
 * @throws HeadwaterError COLLECTION_UNKNOWN
 */
export function checkKnown(collections: ReadonlyMap<string, AnyCollection>, collection: AnyCollection): void {
  const known = collections.get(collection?.name)
  if (known === collection) return
  const why = known ? 'is another definition than the one given to connect()' : 'was not given to connect()'
  throw new HeadwaterError('COLLECTION_UNKNOWN', `Collection ${quoted(collection?.name)} ${why}.`)
}
