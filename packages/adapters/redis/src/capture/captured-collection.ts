import { HeadwaterError, type AnyCollection, type Collection } from '@headwater/core'
import { KeyPattern } from './key-pattern.ts'
import { sourceTypes, type SourceValues } from './source-values.ts'

/** Which keys of a source become which collection, and how. */
export interface CapturedOptions<Type extends keyof SourceValues, Input> {
  /** With one `*`, which stands for the key in the collection: `user:*`. */
  readonly keys: string
  /** Keys of another type count as absent. Default `hash`. */
  readonly type?: Type
  /** Default 0. */
  readonly database?: number
  /** What a value of the source is in the collection; its key there must be `id`. What it throws keeps out this value alone. */
  readonly value: (value: SourceValues[Type], id: string) => Input
}

/** Made by `captured`. */
export interface CapturedCollection {
  readonly collection: AnyCollection
  readonly pattern: KeyPattern
  readonly type: keyof SourceValues
  readonly database: number
  /** As given, for comparison with what was captured before. */
  readonly keys: string
  readonly value: (value: never, id: string) => unknown
}

/** Maps keys of a source to a collection. @throws HeadwaterError OPTION_INVALID */
export function captured<T, Input, Type extends keyof SourceValues = 'hash'>(
  collection: Collection<T, Input>,
  options: CapturedOptions<Type, Input>,
): CapturedCollection {
  const { keys, type = 'hash', database = 0, value } = options
  if (!sourceTypes.includes(type)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `type ${JSON.stringify(type)} of ${collection.name} must be one of ${sourceTypes.join(', ')}.`,
    )
  }
  if (!Number.isInteger(database) || database < 0) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `database ${String(database)} of ${collection.name} must be a whole number.`,
    )
  }
  return { collection, pattern: new KeyPattern(keys), type, database, keys, value }
}

/** @throws HeadwaterError OPTION_INVALID where a collection is mapped twice, or none is */
export function checkCaptured(collections: readonly CapturedCollection[]): void {
  if (collections.length === 0) {
    throw new HeadwaterError('OPTION_INVALID', 'collections names nothing to capture.')
  }
  const names = new Set<string>()
  for (const { collection } of collections) {
    if (names.has(collection.name)) {
      throw new HeadwaterError('OPTION_INVALID', `Collection ${collection.name} is captured into twice.`)
    }
    names.add(collection.name)
  }
}
