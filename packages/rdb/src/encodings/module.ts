import type { Cursor } from '../cursor.ts'
import { readLength, readUint64 } from '../lengths.ts'
import { readString } from '../strings.ts'

const CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const opcodes = { end: 0, signed: 1, unsigned: 2, float: 3, double: 4, string: 5 } as const

/** The nine characters by which a module calls its type. */
export function readModuleName(cursor: Cursor): string {
  const id = readUint64(cursor)
  let name = ''
  // Nine characters of 6 bits above 10 bits of the module's own version.
  for (let shift = 58n; shift >= 10n; shift -= 6n) name += CHARACTERS[Number((id >> shift) & 0x3fn)]
  return name
}

/** Passes over what a module wrote, which tells of each part how long it is. */
export function skipModuleData(cursor: Cursor): void {
  for (;;) {
    const opcode = readLength(cursor)
    switch (opcode) {
      case opcodes.end:
        return
      case opcodes.signed:
      case opcodes.unsigned:
        readUint64(cursor)
        break
      case opcodes.float:
        cursor.skip(4)
        break
      case opcodes.double:
        cursor.skip(8)
        break
      case opcodes.string:
        readString(cursor)
        break
      default:
        cursor.corrupt(`A module cannot have written a part of kind ${opcode}.`)
    }
  }
}

/** Passes over data of a module beside keys; returns the module's name. */
export function readModuleAux(cursor: Cursor): string {
  const name = readModuleName(cursor)
  if (readLength(cursor) !== opcodes.unsigned) cursor.corrupt("A module's data does not say when it is from.")
  readLength(cursor)
  skipModuleData(cursor)
  return name
}
