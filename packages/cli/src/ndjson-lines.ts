import { jsonFault } from './json-fault.ts'
import { recordBytesMax, type RecordLine } from './record-line.ts'

const lineFeed = 10

/** Reads NDJSON line by line. What is wrong with one line does not hurt the next. */
export async function* ndjsonLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<RecordLine> {
  let number = 0
  for await (const bytes of linesOf(source)) {
    number++
    const line = lineOf(bytes, number)
    if (line) yield line
  }
}

/** A line that is too long comes cut, with the bytes that it lacks. */
async function* linesOf(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ content: Buffer; bytes: number }> {
  let parts: Uint8Array[] = []
  let kept = 0
  let bytes = 0
  const take = (part: Uint8Array): void => {
    bytes += part.length
    // One byte too many says that it is too long.
    const fitting = part.subarray(0, recordBytesMax + 1 - kept)
    if (fitting.length > 0) parts.push(fitting)
    kept += fitting.length
  }
  const finish = (): { content: Buffer; bytes: number } => {
    const line = { content: Buffer.concat(parts), bytes }
    parts = []
    kept = 0
    bytes = 0
    return line
  }
  for await (const chunk of source) {
    let from = 0
    for (let at = chunk.indexOf(lineFeed); at >= 0; at = chunk.indexOf(lineFeed, from)) {
      take(chunk.subarray(from, at + 1))
      from = at + 1
      yield finish()
    }
    take(chunk.subarray(from))
  }
  if (bytes > 0) yield finish()
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function lineOf(
  { content, bytes }: { content: Buffer; bytes: number },
  number: number,
): RecordLine | undefined {
  const broken = (why: string): RecordLine => ({ number, bytes, kind: 'broken', why })
  if (content.length > recordBytesMax)
    return broken(`the line has ${bytes} bytes; the limit is ${recordBytesMax}`)
  let text
  try {
    text = utf8.decode(content)
  } catch {
    return broken('the line is no UTF-8')
  }
  if (text.trim() === '') return undefined
  try {
    return { number, bytes, kind: 'value', value: JSON.parse(text) }
  } catch (error) {
    return broken(`the line is no JSON: ${jsonFault(error)}`)
  }
}
