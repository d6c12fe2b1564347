import { HeadwaterError } from '@headwater/core'
import type { StreamCommand } from './command-parser.ts'

/** A command and the database that it was for. */
export interface DatabaseCommand {
  readonly database: number
  readonly args: readonly Buffer[]
}

/** What took effect at the source in one step: a command, or all of `MULTI` to `EXEC`. */
export interface SourceTransaction {
  /** None when it was only a sign of life, or a change of the database. */
  readonly commands: readonly DatabaseCommand[]
  /** The offset behind it. */
  readonly end: number
  /** The database that is selected behind it. */
  readonly database: number
}

/** Puts the commands of a stream together as they took effect. */
export class TransactionAssembler {
  #database: number
  #open: DatabaseCommand[] | undefined

  /** @param database that is selected where the stream begins */
  constructor(database: number) {
    this.#database = database
  }

  /** Takes the next command; returns the transaction that it completes. @throws HeadwaterError SOURCE_REFUSED */
  push({ args, end }: StreamCommand): SourceTransaction | undefined {
    const name = args[0]!.toString('latin1').toUpperCase()
    switch (name) {
      case 'MULTI':
        if (this.#open) damaged('MULTI inside MULTI', end)
        this.#open = []
        return undefined
      case 'EXEC': {
        if (!this.#open) damaged('EXEC without MULTI', end)
        const commands = this.#open
        this.#open = undefined
        return { commands, end, database: this.#database }
      }
      case 'SELECT':
        this.#database = databaseOf(args[1], end)
        break
      case 'PING':
      case 'REPLCONF':
        break
      default:
        if (!this.#open)
          return { commands: [{ database: this.#database, args }], end, database: this.#database }
        this.#open.push({ database: this.#database, args })
    }
    return this.#open ? undefined : { commands: [], end, database: this.#database }
  }
}

function databaseOf(argument: Buffer | undefined, end: number): number {
  const text = argument?.toString('latin1') ?? ''
  return /^\d{1,9}$/.test(text) ? Number(text) : damaged(`SELECT ${JSON.stringify(text)}`, end)
}

function damaged(what: string, end: number): never {
  throw new HeadwaterError('SOURCE_REFUSED', `The replication stream has ${what} before offset ${end}.`)
}
