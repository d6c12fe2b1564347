/**
 * What went wrong in the command itself; everything else carries the codes of `@headwater/core`.
 *
 * - `USAGE`: the arguments cannot be understood
 * - `CONFIG_INVALID`: the config file cannot be loaded, or says something that cannot be
 * - `DEFINITION_REQUIRED`: the command needs the collection's definition, which only a config file gives
 * - `FILE_UNREADABLE`: the input cannot be read
 * - `FILE_UNWRITABLE`: the output cannot be written
 * - `DRAIN_TIMEOUT`: a worker did not end within its budget
 */
type CliErrorCode =
  | 'USAGE'
  | 'CONFIG_INVALID'
  | 'DEFINITION_REQUIRED'
  | 'FILE_UNREADABLE'
  | 'FILE_UNWRITABLE'
  | 'DRAIN_TIMEOUT'

export class CliError extends Error {
  readonly code: CliErrorCode

  constructor(code: CliErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}
