/** A script's reply that is a list of texts. */
export function textReply(reply: unknown): string[] {
  return listReply(reply).map((item) => bytes(item).toString())
}

/** A script's reply that is a list of byte strings. */
export function bytesReply(reply: unknown): Buffer[] {
  return listReply(reply).map(bytes)
}

/** A script's reply that is a list of anything. */
export function listReply(reply: unknown): unknown[] {
  if (!Array.isArray(reply))
    throw new TypeError(`Redis answered a script with ${typeof reply} instead of a list.`)
  return reply
}

function bytes(item: unknown): Buffer {
  if (!Buffer.isBuffer(item))
    throw new TypeError(`Redis answered a script with ${typeof item} instead of a text.`)
  return item
}
