import xxhash from 'xxhash-wasm'
import type { ChangeKind } from './change.ts'

/** Hashes keys and contents for one log. The seed is the log's own, so that nobody can prepare collisions for it. */
export interface Hasher {
  /** 0 to 2^32 - 1; decides partition and bucket. The same for every log, so that moving a log moves no key. */
  key(text: string): number
  /** Below 2^63; 0 for a delete. */
  content(collection: string, schemaVersion: number, kind: ChangeKind, key: string, payload: string): bigint
}

const mask63 = (1n << 63n) - 1n

/** XXH32 and XXH64 of Yann Collet's xxHash, compiled to WebAssembly. */
export async function createHasher(seed: bigint): Promise<Hasher> {
  const api = await xxhash()
  return {
    key: (text) => api.h32(text),
    content(collection, schemaVersion, kind, key, payload) {
      if (kind === 'delete') return 0n
      return api.h64(`${collection}@${schemaVersion}\n${key}\n${payload}`, seed) & mask63
    },
  }
}

const lowBits = 35n
const lowMask = (1n << lowBits) - 1n

/** The two lanes in which a hash is stored and summed, so that Lua's doubles add a thousand of them exactly. */
function hashLanes(hash: bigint): { high: number; low: number } {
  return { high: Number(hash >> lowBits), low: Number(hash & lowMask) }
}

export function hashOfLanes(high: number | bigint, low: number | bigint): bigint {
  return (BigInt(high) << lowBits) + BigInt(low)
}

/** Nine characters of seven bits each: text that UTF-8 leaves at nine bytes, for the append script. */
export function packHash(hash: bigint): string {
  const { high, low } = hashLanes(hash)
  return String.fromCharCode(
    high >>> 21,
    (high >>> 14) & 127,
    (high >>> 7) & 127,
    high & 127,
    Math.floor(low / 2 ** 28),
    (low >>> 21) & 127,
    (low >>> 14) & 127,
    (low >>> 7) & 127,
    low & 127,
  )
}
