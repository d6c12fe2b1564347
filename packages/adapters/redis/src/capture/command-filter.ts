import { HeadwaterError } from '@headwater/core'
import type { RdbEntry } from '@headwater/rdb'
import { CommandKeys, type TouchedKey } from './command-keys.ts'
import { KeyPattern } from './key-pattern.ts'
import type { SourceReader } from './source-reader.ts'
import { type CapturedType, capturedTypes, TypeFilter } from './type-filter.ts'

/** What of a source is captured, where it is not everything. Functions always are. */
export interface CaptureFilter {
  /** Patterns with one `*` each, such as `user:*`. Default: all keys. */
  readonly keys?: readonly string[]
  /** Default: all. */
  readonly databases?: readonly number[]
  /** Default: all. */
  readonly types?: readonly CapturedType[]
}

type Args = readonly Buffer[]

/** Commands on several keys that mean the same for each of them alone, by how many arguments belong to a key. */
const divisible: Readonly<Record<string, number>> = { DEL: 1, UNLINK: 1, MSET: 2 }

/** Decides what of a dump and of a stream is replayed. */
export class CommandFilter {
  /** For comparison with what was captured before; '' where everything is. */
  readonly scope: string
  readonly #patterns: readonly KeyPattern[] | undefined
  readonly #databases: readonly number[] | undefined
  readonly #types: readonly CapturedType[] | undefined
  #reader: SourceReader | undefined
  #typeFilter: TypeFilter | undefined
  #commands: CommandKeys | undefined

  /** @throws HeadwaterError OPTION_INVALID */
  constructor({ keys, databases, types }: CaptureFilter = {}) {
    this.#patterns = keys?.map((pattern) => new KeyPattern(pattern))
    this.#databases = databases
    this.#types = types
    for (const type of types ?? []) {
      if (capturedTypes.includes(type)) continue
      throw new HeadwaterError(
        'OPTION_INVALID',
        `type ${JSON.stringify(type)} must be one of ${capturedTypes.join(', ')}.`,
      )
    }
    for (const database of databases ?? []) {
      if (Number.isInteger(database) && database >= 0) continue
      throw new HeadwaterError('OPTION_INVALID', `database ${String(database)} must be a whole number.`)
    }
    if ([keys, databases, types].some((list) => list?.length === 0))
      throw new HeadwaterError('OPTION_INVALID', 'The filter leaves nothing to capture.')
    this.scope =
      keys || databases || types
        ? JSON.stringify({
            keys: keys?.toSorted(),
            databases: databases?.toSorted((a, b) => a - b),
            types: types?.toSorted(),
          })
        : ''
  }

  /** Learns from the source where the keys of its commands are. */
  async prepare(reader: SourceReader): Promise<void> {
    const types = this.#types
    if (types) this.#typeFilter = await reader.ask(0, (client) => TypeFilter.of(client, types))
    if (!this.#patterns && !this.#databases) return
    this.#reader = reader
    this.#commands = await reader.ask(0, (client) => CommandKeys.of(client))
  }

  /** Whether an entry of a dump is captured. */
  takesEntry(entry: RdbEntry): boolean {
    return (this.#types?.includes(entry.value.type) ?? true) && this.takes(entry)
  }

  /** What is replayed of a command on captured keys where only some types are captured. @throws HeadwaterError SOURCE_REFUSED */
  ofTypes(args: readonly (string | Buffer)[]): readonly (readonly (string | Buffer)[])[] {
    return this.#typeFilter?.replayed(args) ?? [args]
  }

  takes({ database, key }: TouchedKey): boolean {
    if (!this.#takesDatabase(database)) return false
    return this.#patterns === undefined || this.#patterns.some((pattern) => pattern.idOf(key) !== undefined)
  }

  /**
   * What of a command is replayed: all of it, what concerns captured keys, or nothing (undefined).
   *
   * @throws HeadwaterError SOURCE_REFUSED where it concerns both, and cannot be divided
   */
  async replayed(database: number, args: Args): Promise<Args | undefined> {
    const commands = this.#commands
    const reader = this.#reader
    if (!commands || !reader) return args
    const touched = await reader.ask(0, () => commands.touchedBy(() => reader.client(0), database, args))
    const name = args[0]!.toString('latin1').toUpperCase()
    if ('databases' in touched) {
      if (touched.databases === 'all') return args
      const taken = touched.databases.filter((of) => this.#takesDatabase(of))
      if (taken.length === touched.databases.length) return args
      return taken.length === 0 ? undefined : mixed(name)
    }
    const taken = touched.keys.filter((key) => this.takes(key))
    if (taken.length === touched.keys.length) return args
    if (taken.length === 0 || (name === 'COPY' && taken[0] === touched.keys[0])) return undefined
    const each = divisible[name]
    if (each !== undefined) return this.#divided(database, args, each)
    return leaving(name, args, taken.length === 1 && taken[0] === touched.keys[0]) ?? mixed(name)
  }

  #divided(database: number, [name, ...rest]: Args, each: number): Args {
    const kept = [name!]
    for (let at = 0; at < rest.length; at += each)
      if (this.takes({ database, key: rest[at]! })) kept.push(...rest.slice(at, at + each))
    return kept
  }

  #takesDatabase(database: number): boolean {
    return this.#databases === undefined || this.#databases.includes(database)
  }
}

/** A captured key that became one that is left out is gone. */
function leaving(name: string, args: Args, onlyTheFirst: boolean): Args | undefined {
  const moves = name === 'RENAME' || name === 'RENAMENX' || name === 'MOVE'
  return moves && onlyTheFirst ? [Buffer.from('DEL'), args[1]!] : undefined
}

function mixed(name: string): never {
  throw new HeadwaterError(
    'SOURCE_REFUSED',
    `The source ran ${name} on what is captured and on what is left out, so it cannot be replayed. Let the filter keep together what commands bring together, or use mode state.`,
  )
}
