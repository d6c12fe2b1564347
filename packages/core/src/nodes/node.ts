import type { Versions } from './versions.ts'

/** What a node holds of a key. */
export interface NodeRow {
  readonly versions: Versions<unknown>
  /** Another one as soon as the key holds anything else: see `Node.list`. */
  readonly mark: string
}

/**
 * A store that takes part in rounds: it lists what it holds by fingerprint, reads keys, and writes a key where it still
 * holds what was read. Whatever throws is unreachable for the round under way.
 */
export interface Node {
  /** As the weights know it. */
  readonly name: string
  /** Every key with its mark. Equal marks mean equal versions, of whatever kind the nodes are: SHA-1 of the canonical JSON, in hex. */
  list(): AsyncIterable<{ readonly key: string; readonly mark: string }>
  /** In the order of the keys; undefined for a key that it does not know. */
  read(keys: readonly string[]): Promise<readonly (NodeRow | undefined)[]>
  /** @param mark of what was read; undefined when there was nothing */
  write(key: string, mark: string | undefined, versions: Versions<unknown>): Promise<'written' | 'changed'>
}
