import type { ArchiveStore } from '../archive/archive-store.ts'
import type { Hasher } from '../change/content-hash.ts'
import type { AnyCollection } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Connection } from '../redis/connection.ts'
import type { NamespaceKeys } from './keys.ts'
import type { Log } from './log.ts'
import type { NamespaceMetadata } from './metadata.ts'

/** What the parts of Headwater that work on a log share. Not public: reached through `logParts`. */
export interface LogParts {
  readonly namespace: string
  readonly metadata: NamespaceMetadata
  readonly keys: NamespaceKeys
  readonly collections: ReadonlyMap<string, AnyCollection>
  readonly hasher: Hasher
  /** For commands that answer at once. */
  readonly connection: Connection
  /** For what blocks, or must not stand behind other commands. Whoever opens one closes it. */
  readonly openConnection: (purpose: string) => Connection
  readonly producer: string
  readonly deadlineMs: number
  readonly attemptMs: number
  readonly resultsWindowMs: number
  /** Where what was trimmed is read. */
  readonly archive: ArchiveStore | undefined
}

const partsOf = new WeakMap<Log, LogParts>()

/** A log says what it is made of. */
export function setLogParts(log: Log, parts: LogParts): void {
  partsOf.set(log, parts)
}

/** @throws HeadwaterError OPTION_INVALID for anything that `connect` did not give */
export function logParts(log: Log): LogParts {
  const parts = partsOf.get(log)
  if (!parts) throw new HeadwaterError('OPTION_INVALID', 'This needs a log, as connect() gives it.')
  return parts
}
