import xxhash from 'xxhash-wasm'
import type { ChangeKind } from './change.ts'

/** Hashes keys and contents for one log. The seed is the log's own, so that nobody can prepare collisions for it. */
export interface Hasher {
  /** 0 to 2^32 - 1; decides partition and bucket. The same for every log, so that moving a log moves no key. */
  key(text: string): number
  /** Below 2^63; 0 for a delete. */
  content(collection: string, schemaVersion: number, kind: ChangeKind, key: string, payload: string): bigint
  /** The same of a put, as it is stored. */
  lanes(collection: string, schemaVersion: number, key: string, payload: string): HashLanes
}

const mask63 = (1n << 63n) - 1n

/** XXH32 and XXH64 of Yann Collet's xxHash, compiled to WebAssembly. */
export async function createHasher(seed: bigint): Promise<Hasher> {
  const api = await xxhash()
  return {
    key: (text) => api.h32(text),
    content(collection, schemaVersion, kind, key, payload) {
      if (kind === 'delete') return 0n
      return api.h64(contentText(collection, schemaVersion, key, payload), seed) & mask63
    },
    lanes(collection, schemaVersion, key, payload) {
      return lanesOfHash(api.h64(contentText(collection, schemaVersion, key, payload), seed))
    },
  }
}

function contentText(collection: string, schemaVersion: number, key: string, payload: string): string {
  return `${collection}@${schemaVersion}\n${key}\n${payload}`
}

const lowBits = 35n

/** The two lanes in which a hash is stored and summed, so that doubles add a thousand of them exactly. */
export interface HashLanes {
  /** The upper 28 bits. */
  readonly high: number
  /** The lower 35 bits. */
  readonly low: number
}

const hash64 = new BigUint64Array(1)
const halves = new Uint32Array(hash64.buffer)
const [lower, upper] = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? [0, 1] : [1, 0]

/** Of the lower 63 bits. By way of memory, because shifting big integers costs more than hashing. */
function lanesOfHash(hash: bigint): HashLanes {
  hash64[0] = hash
  const top = halves[upper]! & 0x7f_ff_ff_ff
  return { high: top >>> 3, low: (top & 7) * 2 ** 32 + halves[lower]! }
}

export function hashOfLanes(high: number | bigint, low: number | bigint): bigint {
  return (BigInt(high) << lowBits) + BigInt(low)
}

/** As nine bytes of seven bits each, which are text that UTF-8 leaves as it is: for the append script. */
export function writeLanes(bytes: Buffer, at: number, { high, low }: HashLanes): void {
  const lowest = low % 2 ** 28
  bytes[at] = high >>> 21
  bytes[at + 1] = (high >>> 14) & 127
  bytes[at + 2] = (high >>> 7) & 127
  bytes[at + 3] = high & 127
  bytes[at + 4] = (low - lowest) / 2 ** 28
  bytes[at + 5] = lowest >>> 21
  bytes[at + 6] = (lowest >>> 14) & 127
  bytes[at + 7] = (lowest >>> 7) & 127
  bytes[at + 8] = lowest & 127
}

/** Out of nine bytes, as `writeLanes` leaves them. */
export function unpackLanes(bytes: Buffer, at: number): HashLanes {
  const seven = (from: number, count: number): number => {
    let value = 0
    for (let index = from; index < from + count; index++) value = value * 128 + bytes[index]!
    return value
  }
  return { high: seven(at, 4), low: seven(at + 4, 5) }
}
