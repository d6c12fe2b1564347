import type { Change } from '../change/change.ts'
import type { SinkCapabilities } from './sink.ts'

/** Cuts changes into batches within the limits, in order. A change that is larger than a whole batch goes alone. */
export function* splitBatch(
  changes: readonly Change[],
  limit: SinkCapabilities['batch'],
): Generator<readonly Change[], void> {
  if (changes.length > 0 && changes.length <= limit.changes && bytesAtMost(changes) <= limit.bytes) {
    yield changes
    return
  }
  let start = 0
  let bytes = 0
  for (const [index, change] of changes.entries()) {
    const size = Buffer.byteLength(change.payload)
    if (index > start && (index - start === limit.changes || bytes + size > limit.bytes)) {
      yield changes.slice(start, index)
      start = index
      bytes = 0
    }
    bytes += size
  }
  if (start < changes.length) yield start === 0 ? changes : changes.slice(start)
}

/** Without looking into the texts: a character has three bytes at most. */
function bytesAtMost(changes: readonly Change[]): number {
  return 3 * changes.reduce((sum, { payload }) => sum + payload.length, 0)
}
