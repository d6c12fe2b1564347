import { errorCodes, type ErrorCode } from './error-codes.ts'
import { shortened } from './shortened.ts'

/** The base of everything Headwater throws on purpose. Compare `code`, never the text, which is cut where it is endless. */
export class HeadwaterError extends Error {
  readonly code: ErrorCode
  /** Whether the same call can succeed later, unchanged. */
  readonly retryable: boolean

  constructor(code: ErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(`${shortened(message)} [${code}]`, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = new.target.name
    this.code = code
    this.retryable = errorCodes[code].retryable
  }
}

/** Tells a `HeadwaterError`, also one of another copy of the package, and optionally its code. */
export function isHeadwaterError(error: unknown, code?: ErrorCode): error is HeadwaterError {
  if (!(error instanceof Error) || !('code' in error) || !('retryable' in error)) return false
  return (
    typeof error.code === 'string' && error.code in errorCodes && (code === undefined || error.code === code)
  )
}
