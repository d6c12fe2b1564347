import { appendChange, type AppendChangeOptions } from '../append-change.ts'
import type { Invocation } from '../invocation.ts'

/** Deletes one key. */
export async function deleteKey(
  invocation: Invocation,
  name: string,
  key: string,
  options: AppendChangeOptions,
): Promise<void> {
  await appendChange(invocation, name, options, (collection) => collection.delete(key))
}
