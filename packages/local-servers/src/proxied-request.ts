/** What a client asked of the server behind a proxy. */
export interface ProxiedRequest {
  /** The command of Redis in upper case; empty for other protocols. */
  readonly command: string
  /** The arguments of the command; for other protocols the piece of text that was sent. */
  readonly args: readonly string[]
}

/** A request, and how many of the bytes just pushed belong to it or to one before it. */
interface CompleteRequest {
  readonly request: ProxiedRequest
  readonly end: number
}

const CRLF = '\r\n'
const ASTERISK = 0x2a

/**
 * Cuts the bytes of a client into requests. Redis's are found exactly (arrays of bulk strings, as client libraries send
 * them); of other protocols every piece that arrives counts as one.
 */
export class RequestReader {
  #pending: Buffer = Buffer.alloc(0)
  #isRedis: boolean | undefined

  push(bytes: Buffer): CompleteRequest[] {
    this.#isRedis ??= bytes[0] === ASTERISK
    if (!this.#isRedis)
      return [{ request: { command: '', args: [bytes.toString('utf8')] }, end: bytes.length }]
    const before = this.#pending.length
    this.#pending = Buffer.concat([this.#pending, bytes])
    const complete: CompleteRequest[] = []
    let start = 0
    for (;;) {
      const next = readRedisRequest(this.#pending, start)
      if (next === undefined) break
      start = next.end
      complete.push({ request: next.request, end: next.end - before })
    }
    this.#pending = this.#pending.subarray(start)
    return complete
  }
}

function readRedisRequest(bytes: Buffer, start: number): CompleteRequest | undefined {
  const count = readLength(bytes, start)
  if (count === undefined) return undefined
  const words: string[] = []
  let offset = count.end
  for (let word = 0; word < count.value; word++) {
    const length = readLength(bytes, offset)
    if (length === undefined) return undefined
    offset = length.end + length.value + CRLF.length
    if (bytes.length < offset) return undefined
    words.push(bytes.toString('utf8', length.end, length.end + length.value))
  }
  const [command = '', ...args] = words
  return { request: { command: command.toUpperCase(), args }, end: offset }
}

// "*3\r\n" or "$5\r\n".
function readLength(bytes: Buffer, start: number): { value: number; end: number } | undefined {
  const lineEnd = bytes.indexOf(CRLF, start)
  if (lineEnd < 0) return undefined
  return { value: Number(bytes.toString('latin1', start + 1, lineEnd)), end: lineEnd + CRLF.length }
}
