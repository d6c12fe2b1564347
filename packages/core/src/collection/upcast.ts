import type { ChangeKind } from '../change/change.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { AnyCollection } from './collection.ts'

/**
 * By schema version: what turns a value of this version into one of the next. Versions without a step pass unchanged. A
 * step must be a pure function: it runs at every read, in every program.
 */
// oxlint-disable-next-line typescript/no-explicit-any -- what an older program stored has no type any more
export type Upcasters = Readonly<Record<number, (stored: any) => unknown>>

/**
 * Turns what is stored into what the collection's present definition says: the one place for every read, of changes and
 * of state alike. A value of a later schema version than the definition knows is given as it is.
 *
 * @param kind what is stored: an event of a decider has upcasters of its own
 * @throws HeadwaterError UPCAST_FAILED
 */
export function upcast(
  collection: AnyCollection,
  kind: ChangeKind,
  schemaVersion: number,
  stored: unknown,
): unknown {
  const steps = upcastersOf(collection, kind)
  if (!steps) return stored
  let value = stored
  for (let version = schemaVersion; version < collection.schemaVersion; version++) {
    try {
      value = steps[version]?.(value) ?? value
    } catch (cause) {
      throw new HeadwaterError(
        'UPCAST_FAILED',
        `The upcaster of ${collection.name} from schema version ${version} failed: ${String(cause)}.`,
        { cause },
      )
    }
  }
  return value
}

/** Whether what was stored under this schema version may look different now. */
export function needsUpcast(collection: AnyCollection, kind: ChangeKind, schemaVersion: number): boolean {
  return schemaVersion < collection.schemaVersion && upcastersOf(collection, kind) !== undefined
}

function upcastersOf(collection: AnyCollection, kind: ChangeKind): Upcasters | undefined {
  return kind === 'event' && collection.decides ? collection.decides.upcast : collection.upcast
}
