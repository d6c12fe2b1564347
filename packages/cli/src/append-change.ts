import type { AnyCollection, ChangeRequest, Expected } from '@headwater/core'
import type { Invocation } from './invocation.ts'
import { openToWrite, type WriteOptions } from './open-log.ts'
import { printable } from './output.ts'

/** What the commands that append one change take. */
export interface AppendChangeOptions extends WriteOptions {
  readonly expected?: string
  readonly idempotencyKey?: string
  readonly metadata?: Readonly<Record<string, string>>
}

/** Appends one change, and shows what it became. */
export async function appendChange(
  { options: global, output }: Invocation,
  name: string,
  { expected, idempotencyKey, metadata, ...options }: AppendChangeOptions,
  request: (collection: AnyCollection) => ChangeRequest,
): Promise<void> {
  await using opened = await openToWrite(global, name, options)
  const { key, version, position, duplicate } = await opened.log.append(request(opened.collection), {
    // Core refuses what is no expectation.
    expected: expected as Expected | undefined,
    idempotencyKey,
    metadata,
  })
  await output.result({ collection: name, key, version, position, duplicate }, () => {
    const what = duplicate ? 'was stored before, as' : 'is at'
    return `${name}/${printable(key)} ${what} version ${version}, position ${position}`
  })
}
