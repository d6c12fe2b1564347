const slotCount = 16_384

/**
 * The slot of a key on a Redis Cluster. The library inside ioredis reads a key with an empty tag ("{}a") otherwise
 * than the server does; it may send a command to the wrong node, but must not put a key into the wrong group of ours.
 */
export function hashSlot(key: string): number {
  return crc16(Buffer.from(hashTag(key))) % slotCount
}

/** For each slot a short text that falls into it, always the same. */
export function slotTags(): readonly string[] {
  const tags: string[] = []
  for (let number = 0, found = 0; found < slotCount; number++) {
    const tag = number.toString(36)
    const slot = hashSlot(tag)
    if (tags[slot] !== undefined) continue
    tags[slot] = tag
    found++
  }
  return tags
}

/** What stands between the first "{" and the first "}" after it, unless that is nothing. */
function hashTag(key: string): string {
  const open = key.indexOf('{')
  if (open < 0) return key
  const close = key.indexOf('}', open)
  return close <= open + 1 ? key : key.slice(open + 1, close)
}

/** CRC-16/XMODEM, as the Redis Cluster specification asks. */
function crc16(bytes: Uint8Array): number {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1
    crc &= 0xffff
  }
  return crc
}
