import { crc64 } from '@headwater/rdb'

/** A dump of format `version` with this content, and the right checksum. */
export function dumpOf(content: Uint8Array, version = 11): Buffer {
  const body = Buffer.concat([
    Buffer.from(`REDIS${String(version).padStart(4, '0')}`),
    content,
    Buffer.from([0xff]),
  ])
  return Buffer.concat([body, checksumOf(body)])
}

/** The checksum as dumps and payloads of `DUMP` end with it. */
export function checksumOf(bytes: Uint8Array): Buffer {
  const checksum = Buffer.alloc(8)
  checksum.writeBigUInt64LE(crc64(bytes))
  return checksum
}

/** A string as it is written in dumps: length, bytes. */
export function string(text: string | Uint8Array): Buffer {
  const bytes = Buffer.from(text)
  if (bytes.length < 64) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const length = Buffer.alloc(5, 0x80)
  length.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([length, bytes])
}

/** Bytes from numbers, texts (written as they are) and other bytes. */
export function bytesOf(...parts: readonly (number | string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part))),
  )
}

/** An integer of 8 bytes, little-endian, as times are written. */
export function int64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(BigInt(value))
  return bytes
}

/** A length in its form of 64 bits. */
export function longLength(value: bigint): Buffer {
  const bytes = Buffer.alloc(9, 0x81)
  bytes.writeBigUInt64BE(value, 1)
  return bytes
}
