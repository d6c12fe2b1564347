import type { Cursor } from '../cursor.ts'
import type { StreamEntry, StreamId } from '../rdb-value.ts'
import { readListpack } from './listpack.ts'

const FLAG_DELETED = 1
const FLAG_SAME_FIELDS = 2

/**
 * The living entries of one node of a stream: a listpack that begins with the fields that most entries share.
 *
 *   living, deleted, number of fields, fields…, 0
 *   flags, ms and sequence as distances from `first`, [number of fields, field, value, … | value, …], elements so far
 */
export function readStreamNode(cursor: Cursor, first: StreamId): StreamEntry[] {
  const elements = new Elements(cursor, readListpack(cursor))
  const living = elements.number()
  const deleted = elements.number()
  const shared = elements.take(elements.number())
  if (elements.number() !== 0) cursor.corrupt('The shared fields of a stream have no end.')
  const entries: StreamEntry[] = []
  let found = 0
  while (elements.left > 0) {
    found++
    const { isDeleted, ...entry } = readEntry(elements, first, shared)
    if (!isDeleted) entries.push(entry)
  }
  if (entries.length !== living || found !== living + deleted)
    cursor.corrupt(
      `A node of ${found} entries, ${entries.length} living, claims ${living} and ${deleted} deleted.`,
    )
  return entries
}

function readEntry(
  elements: Elements,
  first: StreamId,
  shared: readonly Buffer[],
): StreamEntry & { readonly isDeleted: boolean } {
  const start = elements.left
  const flags = elements.number()
  const id = { ms: first.ms + elements.integer(), sequence: first.sequence + elements.integer() }
  const fields =
    flags & FLAG_SAME_FIELDS
      ? shared.flatMap((field) => [field, ...elements.take(1)])
      : elements.take(elements.number() * 2)
  const length = start - elements.left
  if (elements.number() !== length) elements.corrupt('The length behind an entry of a stream is wrong.')
  return { id, fields, isDeleted: (flags & FLAG_DELETED) !== 0 }
}

/** The elements of a listpack, one after the other. */
class Elements {
  readonly #cursor: Cursor
  readonly #elements: readonly Buffer[]
  #at = 0

  constructor(cursor: Cursor, elements: readonly Buffer[]) {
    this.#cursor = cursor
    this.#elements = elements
  }

  get left(): number {
    return this.#elements.length - this.#at
  }

  take(count: number): Buffer[] {
    if (count > this.left) this.corrupt('A stream ends in the middle of an entry.')
    this.#at += count
    return this.#elements.slice(this.#at - count, this.#at)
  }

  integer(): bigint {
    const text = this.take(1)[0]!.toString('latin1')
    if (!/^-?\d{1,20}$/.test(text)) this.corrupt('A stream has text where a number belongs.')
    return BigInt(text)
  }

  /** A count, or flags. */
  number(): number {
    const number = Number(this.integer())
    if (number < 0 || number > 0xffffffff)
      this.corrupt(`A stream has ${number} where a small number belongs.`)
    return number
  }

  corrupt(what: string): never {
    return this.#cursor.corrupt(what)
  }
}
