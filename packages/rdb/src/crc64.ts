// The reflected Jones polynomial, as Redis uses it. CRC values are kept as two 32-bit halves: BigInt would take a hundred
// times as long. Eight tables allow eight bytes a step.
const POLYNOMIAL_HIGH = 0x95ac9329
const POLYNOMIAL_LOW = 0xac4bc9b5
const SLICES = 8
const high = new Int32Array(256 * SLICES)
const low = new Int32Array(256 * SLICES)

for (let byte = 0; byte < 256; byte++) {
  let upper = 0
  let lower = byte
  for (let bit = 0; bit < 8; bit++) {
    const isOdd = lower & 1
    lower = (lower >>> 1) | (upper << 31)
    upper >>>= 1
    if (isOdd) {
      upper ^= POLYNOMIAL_HIGH
      lower ^= POLYNOMIAL_LOW
    }
  }
  high[byte] = upper
  low[byte] = lower
}
for (let at = 256; at < 256 * SLICES; at++) {
  const upper = high[at - 256]!
  const lower = low[at - 256]!
  const byte = lower & 0xff
  low[at] = ((lower >>> 8) | (upper << 24)) ^ low[byte]!
  high[at] = (upper >>> 8) ^ high[byte]!
}

/** CRC-64 of bytes that arrive piece by piece. */
export class Crc64 {
  #high = 0
  #low = 0

  update(bytes: Uint8Array, from: number, to: number): void {
    let upper = this.#high
    let lower = this.#low
    let at = from
    for (; at + SLICES <= to; at += SLICES) {
      const a = lower ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
      const b =
        upper ^ (bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24))
      const i0 = 1792 + (a & 0xff)
      const i1 = 1536 + ((a >>> 8) & 0xff)
      const i2 = 1280 + ((a >>> 16) & 0xff)
      const i3 = 1024 + (a >>> 24)
      const i4 = 768 + (b & 0xff)
      const i5 = 512 + ((b >>> 8) & 0xff)
      const i6 = 256 + ((b >>> 16) & 0xff)
      const i7 = b >>> 24
      lower = low[i0]! ^ low[i1]! ^ low[i2]! ^ low[i3]! ^ low[i4]! ^ low[i5]! ^ low[i6]! ^ low[i7]!
      upper = high[i0]! ^ high[i1]! ^ high[i2]! ^ high[i3]! ^ high[i4]! ^ high[i5]! ^ high[i6]! ^ high[i7]!
    }
    for (; at < to; at++) {
      const index = (lower ^ bytes[at]!) & 0xff
      lower = ((lower >>> 8) | (upper << 24)) ^ low[index]!
      upper = (upper >>> 8) ^ high[index]!
    }
    this.#high = upper
    this.#low = lower
  }

  get value(): bigint {
    return (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0)
  }
}

/** The checksum at the end of dumps and of `DUMP` payloads: CRC-64 with the Jones polynomial, as Redis computes it. */
export function crc64(bytes: Uint8Array): bigint {
  const crc = new Crc64()
  crc.update(bytes, 0, bytes.length)
  return crc.value
}
