const carriageReturn = 13
const types = { bulk: 36, array: 42, error: 45 } as const

/** Counts the replies of RESP2 in a stream of bytes without looking at what they say. */
export class ReplyCounter {
  /** The first error reply. */
  error: string | undefined
  /** The beginning of a line whose end has not come. */
  #rest: Buffer = Buffer.alloc(0)
  /** Bytes of a bulk string, with its line end, that have not come. */
  #skip = 0
  /** For each array that is open: how many of its items have not come. */
  readonly #open: number[] = []

  /** How many replies this chunk completes. */
  count(received: Buffer): number {
    const chunk = this.#rest.length > 0 ? Buffer.concat([this.#rest, received]) : received
    let replies = 0
    let at = 0
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.length - at)
        this.#skip -= skipped
        at += skipped
        if (this.#skip === 0) replies += this.#itemEnds()
        continue
      }
      const end = chunk.indexOf(carriageReturn, at)
      if (end === -1 || end + 1 >= chunk.length) break
      const type = chunk[at]
      const line = chunk.toString('latin1', at + 1, end)
      at = end + 2
      if (type === types.bulk && Number(line) >= 0) this.#skip = Number(line) + 2
      else if (type === types.array && Number(line) > 0) this.#open.push(Number(line))
      else {
        if (type === types.error) this.error ??= line
        replies += this.#itemEnds()
      }
    }
    this.#rest = chunk.subarray(at)
    return replies
  }

  /** 1 when a whole reply ends with this item. */
  #itemEnds(): 0 | 1 {
    for (let depth = this.#open.length - 1; depth >= 0; depth--) {
      this.#open[depth]! -= 1
      if (this.#open[depth]! > 0) return 0
      this.#open.pop()
    }
    return 1
  }
}
