import assert from 'node:assert/strict'
import { isHeadwaterError, type ErrorCode } from '@headwater/core'

/** Demands that a call is refused with this code. */
export async function expectRefusal(code: ErrorCode, call: Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(isHeadwaterError(error, code), `expected ${code}, got ${String(error)}`)
    return true
  })
}
