/** A script's reply that is a list of texts. */
export function textReply(reply: unknown): string[] {
  return listReply(reply).map((item) => {
    if (typeof item !== 'string') throw unexpected(item, 'a text')
    return item
  })
}

/** A script's reply that is a list of anything. */
export function listReply(reply: unknown): unknown[] {
  if (!Array.isArray(reply)) throw unexpected(reply, 'a list')
  return reply
}

function unexpected(reply: unknown, expected: string): TypeError {
  return new TypeError(
    `Redis answered a script with ${typeof reply} instead of ${expected}: is the client one of ioredis?`,
  )
}
