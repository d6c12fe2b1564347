/** What went wrong with a local server. */
export type LocalServerErrorCode =
  /** No server program was found, and none could be fetched. The message says what to install. */
  | 'BINARY_NOT_FOUND'
  /** The folder for what is fetched once belongs to somebody else. */
  | 'CACHE_NOT_OURS'
  /** This system cannot run local servers. */
  | 'SYSTEM_NOT_SUPPORTED'
  /** The program ended, or did not answer in time, while it started. The message ends with its log. */
  | 'DID_NOT_START'
  /** Several servers did not come to agree in time. */
  | 'NOT_REACHED'
  /** A signal or a restart was asked of the server behind `REDIS_URL` or `DATABASE_URL`, which is not ours. */
  | 'NOT_OURS'
  /** The server was used after `stop()`. */
  | 'STOPPED'
  /** The process that keeps the servers ended, and they with it. */
  | 'KEEPER_ENDED'

/** An error of this package. */
export class LocalServerError extends Error {
  readonly code: LocalServerErrorCode

  constructor(code: LocalServerErrorCode, message: string, options?: { cause?: unknown }) {
    super(`${message} [${code}]`, options)
    this.name = new.target.name
    this.code = code
  }
}
