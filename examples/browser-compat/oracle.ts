import { isDeepStrictEqual } from 'node:util'
import type { Release } from './release.ts'

/** One entity as it stands in a replica. */
export interface ReplicaRow {
  readonly path: string
  readonly value: unknown
}

/** How a replica differs from the release, by dotted paths. All three lists are empty when they are equal. */
export interface Comparison {
  readonly equal: boolean
  readonly compared: number
  readonly missing: readonly string[]
  readonly foreign: readonly string[]
  readonly different: readonly string[]
}

/**
 * Compares everything that a replica holds with a published release, key by key and value by value. Shares nothing
 * with the log, not even its canonical JSON: what that lost, every copy would have lost. For JSON, Node's deep
 * equality is the equality of canonical JSON.
 */
export async function compareWithRelease(
  release: Release,
  replica: AsyncIterable<ReplicaRow>,
): Promise<Comparison> {
  const seen = new Set<string>()
  const foreign: string[] = []
  const different: string[] = []
  for await (const { path, value } of replica) {
    // A Redis SCAN may show a key twice.
    if (seen.has(path)) continue
    seen.add(path)
    const published = release.get(path)
    if (published === undefined) foreign.push(path)
    else if (!isDeepStrictEqual(value, published)) different.push(path)
  }
  const missing = [...release.keys()].filter((path) => !seen.has(path))
  return {
    equal: missing.length + foreign.length + different.length === 0,
    compared: seen.size,
    missing,
    foreign,
    different,
  }
}
