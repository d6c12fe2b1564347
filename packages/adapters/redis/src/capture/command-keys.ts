import type { Redis } from 'ioredis'

/** A database of a source, or any of them where the stream has not said which yet. */
export const anyDatabase = -1

/** A key that a command may have changed. */
export interface TouchedKey {
  readonly database: number
  readonly key: Buffer
}

/** What a command may have changed: some keys, or whatever there is in some databases. */
export type Touched =
  | { readonly keys: readonly TouchedKey[] }
  | { readonly databases: readonly number[] | 'all' }

/** Where the keys of a command stand among its arguments. */
interface KeyPositions {
  readonly first: number
  /** Counted from the end where it is negative. */
  readonly last: number
  readonly step: number
  /** Only the server can tell. */
  readonly movable: boolean
}

/** As the server describes a command: name, arity, flags, first key, last key, step, …; from 7.0 on also subcommands. */
type CommandEntry = [
  string,
  unknown,
  string[],
  string,
  string,
  string,
  unknown?,
  unknown?,
  unknown?,
  unknown[]?,
]

const none: Touched = { keys: [] }
const text = (argument: Buffer | undefined): string => argument?.toString('latin1') ?? ''

/** Which keys commands touch, as the source itself says: so it holds for every version, and for what modules add. */
export class CommandKeys {
  readonly #positions: ReadonlyMap<string, KeyPositions>

  private constructor(positions: ReadonlyMap<string, KeyPositions>) {
    this.#positions = positions
  }

  /** Asks the source for its commands. */
  static async of(client: Redis): Promise<CommandKeys> {
    const reply = (await client.call('COMMAND')) as CommandEntry[]
    return new CommandKeys(
      new Map(
        reply.map(([name, , flags, first, last, step, , , , subcommands]) => [
          name.toUpperCase(),
          {
            first: Number(first),
            last: Number(last),
            step: Number(step),
            // From Redis 7.0 on, the keys of XGROUP are those of its subcommands.
            movable: flags.includes('movablekeys') || (subcommands?.length ?? 0) > 0,
          },
        ]),
      ),
    )
  }

  /** What a command of the stream may have changed. `client` is asked where only the source can tell. */
  async touchedBy(client: () => Promise<Redis>, database: number, args: readonly Buffer[]): Promise<Touched> {
    const name = text(args[0]).toUpperCase()
    switch (name) {
      case 'FLUSHALL':
      // Of a source that replicates scripts instead of what they did.
      case 'EVAL':
      case 'EVALSHA':
        return { databases: 'all' }
      case 'FLUSHDB':
        return { databases: database === anyDatabase ? 'all' : [database] }
      case 'SWAPDB':
        return { databases: [Number(text(args[1])), Number(text(args[2]))] }
      // Their first argument is a channel, or code.
      case 'PUBLISH':
      case 'SPUBLISH':
      case 'FUNCTION':
      case 'SCRIPT':
        return none
      default:
    }
    const keys = await this.#keysOf(client, name, args)
    if (keys === undefined) return { databases: 'all' }
    const touched = keys.map((key) => ({ database, key }))
    // These reach into another database.
    if (name === 'MOVE') touched.push({ database: Number(text(args[2])), key: args[1]! })
    if (name === 'COPY') {
      const at = args.findIndex((argument, index) => index > 2 && text(argument).toUpperCase() === 'DB')
      if (at > 0) touched[1] = { database: Number(text(args[at + 1])), key: args[2]! }
    }
    return { keys: touched }
  }

  /** Undefined where nobody can tell. */
  async #keysOf(
    client: () => Promise<Redis>,
    name: string,
    args: readonly Buffer[],
  ): Promise<readonly Buffer[] | undefined> {
    const positions = this.#positions.get(name)
    if (positions === undefined || positions.movable) return await askForKeys(await client(), args)
    const { first, last, step } = positions
    if (first <= 0) return []
    const end = last < 0 ? args.length + last : last
    const keys: Buffer[] = []
    for (let at = first; at <= end && at < args.length; at += Math.max(1, step)) keys.push(args[at]!)
    return keys
  }
}

async function askForKeys(client: Redis, args: readonly Buffer[]): Promise<readonly Buffer[] | undefined> {
  try {
    return (await client.callBuffer('COMMAND', 'GETKEYS', ...args)) as Buffer[]
  } catch (error) {
    if (error instanceof Error && error.name === 'ReplyError') {
      return /no key arguments/i.test(error.message) ? [] : undefined
    }
    throw error
  }
}
