import { appendChange, type AppendChangeOptions } from '../append-change.ts'
import type { Invocation } from '../invocation.ts'
import { jsonInput } from '../json-input.ts'

/** Puts one value; `-` reads it from stdin. */
export async function append(
  invocation: Invocation,
  name: string,
  json: string,
  options: AppendChangeOptions,
): Promise<void> {
  const value = await jsonInput(json)
  await appendChange(invocation, name, options, (collection) => collection.put(value))
}
