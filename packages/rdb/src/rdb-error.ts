/** What is wrong with a dump. */
export type RdbErrorCode =
  /** It does not begin as a dump of Redis does. */
  | 'NOT_RDB'
  /** A newer server wrote it than this package knows. */
  | 'VERSION_NOT_SUPPORTED'
  /** It ends before its end mark. */
  | 'TRUNCATED'
  /** Its bytes contradict the format. */
  | 'CORRUPT'
  /** It is well-formed, but its checksum says that it is not what was written. */
  | 'CHECKSUM_WRONG'
  /** It holds a value of a module, which only that module can read. */
  | 'MODULE_VALUE'
  /** One item is larger than `itemBytesMax`. */
  | 'ITEM_TOO_LARGE'

/** Where an error is and what it concerns. */
export interface RdbErrorPlace {
  /** In bytes from the beginning of the dump. */
  readonly offset: number
  readonly key?: Buffer | undefined
  readonly module?: string | undefined
}

/** Everything `readRdb` throws about the bytes it reads. Compare `code`, never the text. */
export class RdbError extends Error {
  readonly code: RdbErrorCode
  /** What is wrong, without the place. */
  readonly what: string
  /** In bytes from the beginning of the dump. What a compressed string holds counts as at the string's beginning. */
  readonly offset: number
  /** The key whose value was being read. */
  readonly key: Buffer | undefined
  /** The module whose value it is, for `MODULE_VALUE`. */
  readonly module: string | undefined

  constructor(code: RdbErrorCode, what: string, { offset, key, module }: RdbErrorPlace) {
    const ofKey = key === undefined ? '' : `, key ${JSON.stringify(key.toString().slice(0, 200))}`
    super(`${what} (at byte ${offset}${ofKey}) [${code}]`)
    this.name = new.target.name
    this.code = code
    this.what = what
    this.offset = offset
    this.key = key
    this.module = module
  }
}
