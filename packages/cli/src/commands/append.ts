import { text as textOf } from 'node:stream/consumers'
import { appendChange, type AppendChangeOptions } from '../append-change.ts'
import { CliError } from '../cli-error.ts'
import type { Invocation } from '../invocation.ts'

/** Puts one value; `-` reads it from stdin. */
export async function append(
  invocation: Invocation,
  name: string,
  json: string,
  options: AppendChangeOptions,
): Promise<void> {
  const text = json === '-' ? await textOf(process.stdin) : json
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new CliError('USAGE', `The value is no JSON: ${(error as SyntaxError).message}.`, { cause: error })
  }
  await appendChange(invocation, name, options, (collection) => collection.put(value))
}
