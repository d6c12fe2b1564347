import assert from 'node:assert/strict'
import { isHeadwaterError, type ErrorCode } from '@headwater/core'

/** Demands that a call is refused with this code. */
export async function expectRefusal(code: ErrorCode, call: Promise<unknown>): Promise<void> {
  const isRefusal = (error: unknown) => {
    assert.ok(isHeadwaterError(error, code), `refused with ${String(error)} instead of ${code}`)
    return true
  }
  await assert.rejects(call, isRefusal, `not refused with ${code}`)
}
