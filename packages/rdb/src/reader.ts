import { ByteSource } from './byte-source.ts'
import type { Cursor } from './cursor.ts'
import { readModuleAux, readModuleName, skipModuleData } from './encodings/module.ts'
import { readLength, readUint64 } from './lengths.ts'
import { RdbError } from './rdb-error.ts'
import type { RdbEnd, RdbHeader, RdbItem } from './rdb-item.ts'
import { readString } from './strings.ts'
import { moduleType, moduleTypeOpaque, valueTypes } from './value-types.ts'

/** How `readRdb` reads. */
export interface ReadRdbOptions {
  /** What happens to values of modules: `refuse` throws `MODULE_VALUE`, `skip` yields their names. Default `refuse`. */
  readonly modules?: 'refuse' | 'skip'
  /** The largest item that is read, in bytes of the dump. Default 1 GiB. */
  readonly itemBytesMax?: number
}

const VERSION_MAX = 12
const FIRST_VERSION_WITH_CHECKSUM = 5
const DATABASE_MAX = 2 ** 31 - 1
const GIBIBYTE = 2 ** 30

const opcodes = {
  slot: 244,
  function: 245,
  preReleaseFunction: 246,
  moduleAux: 247,
  idle: 248,
  frequency: 249,
  aux: 250,
  sizes: 251,
  expiryMs: 252,
  expirySeconds: 253,
  database: 254,
  end: 255,
} as const

/** The end mark, whose checksum is still to be compared. */
interface EndMark {
  readonly kind: 'end mark'
}

interface ReadState {
  database: number
  readonly modules: 'refuse' | 'skip'
}

/**
 * Reads a dump (`dump.rdb`, or what a master sends its replica), item by item, from chunks of any size: all types and
 * encodings of format versions 1 to 12, which is what Redis up to 8.0 and Valkey 8 write. Holds one item in memory at a
 * time. What follows the end mark is left unread.
 *
 * A checksum stands at the end: until the item `end` came, what was read may still be damaged.
 *
 * @throws RdbError with the offset of what is wrong
 */
export async function* readRdb(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  { modules = 'refuse', itemBytesMax = GIBIBYTE }: ReadRdbOptions = {},
): AsyncGenerator<RdbItem, void, void> {
  const source = new ByteSource(chunks, itemBytesMax)
  try {
    const header = await readWhole(source, readHeader)
    yield header
    const state: ReadState = { database: 0, modules }
    for (;;) {
      const item = source.read((cursor) => readItem(cursor, state))
      if (item === undefined) {
        await source.fill()
        continue
      }
      if (item.kind === 'end mark') {
        yield await readEnd(source, header.version)
        return
      }
      if (item.kind === 'database') state.database = item.database
      yield item
    }
  } finally {
    await source.close()
  }
}

async function readWhole<T>(source: ByteSource, parse: (cursor: Cursor) => T): Promise<T> {
  for (;;) {
    const item = source.read(parse)
    if (item !== undefined) return item
    await source.fill()
  }
}

function readHeader(cursor: Cursor): RdbHeader {
  const { offset } = cursor
  const magic = cursor.take(9).toString('latin1')
  const [, name, number] = /^(REDIS|VALKEY)(\d{3,4})$/.exec(magic) ?? []
  if (name === undefined) {
    const shown = JSON.stringify(magic)
    throw new RdbError('NOT_RDB', `A dump begins with REDIS and four digits, not with ${shown}.`, { offset })
  }
  const version = Number(number)
  if (name === 'VALKEY' || version > VERSION_MAX) {
    throw new RdbError(
      'VERSION_NOT_SUPPORTED',
      `${magic} was written by a newer server. Versions up to ${VERSION_MAX} are read: Redis up to 8.0, Valkey 8.`,
      { offset },
    )
  }
  if (version === 0) throw new RdbError('NOT_RDB', `${magic} is no version of the format.`, { offset })
  return { kind: 'header', version }
}

async function readEnd(source: ByteSource, version: number): Promise<RdbEnd> {
  if (version < FIRST_VERSION_WITH_CHECKSUM) return { kind: 'end', hasChecksum: false, bytes: source.offset }
  const { checksum: computed, offset } = source
  const written = await readWhole(source, (cursor) => BigInt.asUintN(64, cursor.int64le()))
  const hasChecksum = written !== 0n
  if (hasChecksum && written !== computed) {
    throw new RdbError(
      'CHECKSUM_WRONG',
      `The checksum is ${written.toString(16)}; the bytes before it have ${computed.toString(16)}.`,
      { offset },
    )
  }
  return { kind: 'end', hasChecksum, bytes: source.offset }
}

function readItem(cursor: Cursor, state: ReadState): RdbItem | EndMark {
  const opcode = cursor.byte()
  switch (opcode) {
    case opcodes.aux:
      return { kind: 'aux', name: readString(cursor).toString(), value: readString(cursor) }
    case opcodes.database: {
      const database = readLength(cursor)
      if (database > DATABASE_MAX) cursor.corrupt(`There can be no database ${database}.`)
      return { kind: 'database', database }
    }
    case opcodes.sizes:
      return { kind: 'sizes', keys: readLength(cursor), expiring: readLength(cursor) }
    case opcodes.slot:
      return {
        kind: 'slot',
        slot: readLength(cursor),
        keys: readLength(cursor),
        expiring: readLength(cursor),
      }
    case opcodes.function:
      return { kind: 'function', code: readString(cursor) }
    case opcodes.preReleaseFunction:
      return readPreReleaseFunction(cursor)
    case opcodes.moduleAux:
      return { kind: 'module-aux', module: readModuleAux(cursor) }
    case opcodes.end:
      return { kind: 'end mark' }
    default:
      return readEntry(cursor, opcode, state)
  }
}

function readPreReleaseFunction(cursor: Cursor): RdbItem {
  const name = readString(cursor)
  const engine = readString(cursor)
  const description = readLength(cursor) === 0 ? {} : { description: readString(cursor) }
  return { kind: 'pre-release-function', name, engine, ...description, code: readString(cursor) }
}

interface EntryAttributes {
  expiresAtMs?: bigint
  idleSeconds?: bigint
  frequency?: number
}

function readEntry(cursor: Cursor, first: number, { database, modules }: ReadState): RdbItem {
  const attributes: EntryAttributes = {}
  let type = first
  while (readAttribute(cursor, type, attributes)) type = cursor.byte()
  const readValue = valueTypes.get(type)
  if (readValue === undefined && type !== moduleType && type !== moduleTypeOpaque)
    cursor.corrupt(`There is no type or opcode ${type} in this format.`)
  const key = readString(cursor)
  try {
    if (readValue !== undefined)
      return { kind: 'entry', database, key, value: readValue(cursor), ...attributes }
    return readModuleEntry(cursor, key, database, type === moduleType ? modules : 'refuse')
  } catch (error) {
    // Whoever reads the value does not know its key.
    if (!(error instanceof RdbError) || error.key !== undefined) throw error
    throw new RdbError(error.code, error.what, { offset: error.offset, key, module: error.module })
  }
}

function readAttribute(cursor: Cursor, opcode: number, attributes: EntryAttributes): boolean {
  switch (opcode) {
    case opcodes.expiryMs:
      attributes.expiresAtMs = cursor.int64le()
      return true
    case opcodes.expirySeconds:
      attributes.expiresAtMs = BigInt(cursor.intLe(4)) * 1000n
      return true
    case opcodes.idle:
      attributes.idleSeconds = readUint64(cursor)
      return true
    case opcodes.frequency:
      attributes.frequency = cursor.byte()
      return true
    default:
      return false
  }
}

function readModuleEntry(cursor: Cursor, key: Buffer, database: number, modules: 'refuse' | 'skip'): RdbItem {
  const { offset } = cursor
  const module = readModuleName(cursor)
  if (modules === 'refuse') {
    const message = `Only the module of ${module} can read its values. Pass modules: 'skip' to leave them out, where it wrote them in a form that can be skipped.`
    throw new RdbError('MODULE_VALUE', message, { offset, key, module })
  }
  skipModuleData(cursor)
  return { kind: 'module-entry', database, key, module }
}
