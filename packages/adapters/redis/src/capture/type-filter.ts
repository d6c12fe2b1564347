import { HeadwaterError } from '@headwater/core'
import type { Redis } from 'ioredis'

/** What `TYPE` says of a key. */
export type CapturedType = 'string' | 'list' | 'set' | 'zset' | 'hash' | 'stream'

type Args = readonly (string | Buffer)[]
/** As `COMMAND` describes one: name, …, ACL categories, …, subcommands. */
type CommandEntry = [string, ...unknown[]]

/** ACL categories say which type a command works on. */
const typeOfCategory: Readonly<Record<string, CapturedType>> = {
  '@string': 'string',
  '@bitmap': 'string',
  '@hyperloglog': 'string',
  '@list': 'list',
  '@set': 'set',
  '@sortedset': 'zset',
  '@geo': 'zset',
  '@hash': 'hash',
  '@stream': 'stream',
}

export const capturedTypes: readonly CapturedType[] = [...new Set(Object.values(typeOfCategory))]

/** Do the same, or nothing, where a key is not there: it may be of a type that is left out. */
const harmless = new Set(
  'DEL UNLINK PEXPIREAT PERSIST MOVE FLUSHALL FLUSHDB SWAPDB PUBLISH SPUBLISH FUNCTION SCRIPT'.split(' '),
)

/** Commands that put their type in place of whatever the key held, and where that key is. */
const replacing: Readonly<Record<string, (args: Args) => Args>> = {
  SET: at(1),
  MSET: (args) => args.filter((_argument, index) => index % 2 === 1),
  BITOP: at(2),
  SINTERSTORE: at(1),
  SUNIONSTORE: at(1),
  SDIFFSTORE: at(1),
  ZINTERSTORE: at(1),
  ZUNIONSTORE: at(1),
  ZDIFFSTORE: at(1),
  ZRANGESTORE: at(1),
  GEOSEARCHSTORE: at(1),
  GEORADIUS: behind('STORE', 'STOREDIST'),
  GEORADIUSBYMEMBER: behind('STORE', 'STOREDIST'),
  SORT: behind('STORE'),
}

/**
 * Of what is not at the target nobody knows there whether it exists at the source. These decide when they take place. A copy
 * goes into another database than the one that is selected where it says so.
 */
const ifHeld = {
  RENAME: `if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) else redis.call('DEL', KEYS[2]) end`,
  RENAMENX: `if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAMENX', KEYS[1], KEYS[2]) end`,
  COPY: `
    if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('COPY', KEYS[1], KEYS[2], unpack(ARGV)) end
    for at = 1, #ARGV do
      if string.upper(ARGV[at]) == 'DB' then redis.call('SELECT', ARGV[at + 1]) end
    end
    redis.call('DEL', KEYS[2])`,
} as const

/** Decides what of a stream is replayed where only values of some types are captured: what the target holds is of them. */
export class TypeFilter {
  readonly #taken: ReadonlySet<CapturedType>
  readonly #types: ReadonlyMap<string, CapturedType>

  private constructor(taken: readonly CapturedType[], types: ReadonlyMap<string, CapturedType>) {
    this.#taken = new Set(taken)
    this.#types = types
  }

  /** Asks the source for the types of its commands: so it holds for every version. */
  static async of(client: Redis, taken: readonly CapturedType[]): Promise<TypeFilter> {
    const reply = (await client.call('COMMAND')) as CommandEntry[]
    const types = new Map<string, CapturedType>()
    for (const entry of reply) {
      const [type, another] = new Set(
        categoriesOf(entry).flatMap((category) => typeOfCategory[category] ?? []),
      )
      if (type && another === undefined) types.set(entry[0].toUpperCase(), type)
    }
    // It reads lists, sets and sorted sets, and makes a list.
    types.set('SORT', 'list')
    return new TypeFilter(taken, types)
  }

  /**
   * What of a command of the source is replayed; expiries are held already.
   *
   * @throws HeadwaterError SOURCE_REFUSED where it depends on values that are left out, or its type cannot be told
   */
  replayed(args: Args): readonly Args[] {
    const name = upper(args[0])
    if (harmless.has(name)) return [args]
    if (name in ifHeld) return [asScript(ifHeld[name as keyof typeof ifHeld], args)]
    const type = this.#types.get(name)
    if (type === undefined) refuse(`The source ran ${name}, and nobody can tell which type it writes.`)
    if (!this.#taken.has(type)) {
      // Something that is captured may have been in its place.
      const replaced = replacing[name]?.(args) ?? []
      return replaced.length > 0 ? [['DEL', ...replaced]] : []
    }
    const missing = this.#reads(name, args).filter((read) => !this.#taken.has(read))
    if (missing.length > 0) {
      refuse(
        `The source ran ${name}, which may have read what is left out: capture ${missing.join(', ')} too.`,
      )
    }
    return [name === 'SET' ? unconditional(args) : args]
  }

  /** Of which other types the values may be that a command reads. */
  #reads(name: string, args: Args): readonly CapturedType[] {
    if (name === 'SORT') {
      const readsPatterns = args.some((argument) => ['BY', 'GET'].includes(upper(argument)))
      return readsPatterns ? ['set', 'zset', 'string', 'hash'] : ['set', 'zset']
    }
    return ['ZUNIONSTORE', 'ZINTERSTORE', 'ZDIFFSTORE'].includes(name) ? ['set'] : []
  }
}

function categoriesOf(entry: CommandEntry): string[] {
  const [own, subcommands] = [entry[6], entry[9]] as [string[] | undefined, CommandEntry[] | undefined]
  return [...(own ?? []), ...(subcommands ?? []).flatMap(categoriesOf)]
}

/** The source has decided about NX and XX, and what was there may be of a type that is left out. */
function unconditional([name, key, value, ...options]: Args): Args {
  return [name!, key!, value!, ...options.filter((option) => !['NX', 'XX', 'GET'].includes(upper(option)))]
}

function asScript(script: string, [, from, to, ...rest]: Args): Args {
  return ['EVAL', script, '2', from!, to!, ...rest]
}

function at(index: number): (args: Args) => Args {
  return (args) => args.slice(index, index + 1)
}

function behind(...words: readonly string[]): (args: Args) => Args {
  return (args) => {
    const index = args.findLastIndex((argument) => words.includes(upper(argument)))
    return index < 0 ? [] : args.slice(index + 1, index + 2)
  }
}

function upper(argument: string | Buffer | undefined): string {
  return argument?.toString('latin1').toUpperCase() ?? ''
}

function refuse(message: string): never {
  throw new HeadwaterError('SOURCE_REFUSED', `${message} Or use mode state.`)
}
