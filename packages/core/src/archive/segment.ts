import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { createGunzip, gunzip, gzip } from 'node:zlib'
import type { StreamEntry } from '../change/batch.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'

const compress = promisify(gzip)
const decompress = promisify(gunzip)

/** Of what a segment decompresses to: it was one string, and none can be longer. */
const bytesMax = 2 ** 29 * 3

/** Entries of the log as a segment keeps them: gzipped, a JSON object a line, with the entry's ID and its fields. */
export function packSegment(entries: readonly StreamEntry[]): Promise<Buffer> {
  const lines = entries.map(([id, fields]) => {
    const texts = fields ?? []
    const line = new Map([['id', id]])
    for (let at = 0; at + 1 < texts.length; at += 2) line.set(texts[at]!, texts[at + 1]!)
    // Once more: a field that somebody else has added to a batch may have any name.
    return JSON.stringify(Object.fromEntries(line.set('id', id)))
  })
  return compress(Buffer.from(`${lines.join('\n')}\n`))
}

export function checksumOf(piece: Uint8Array): string {
  return createHash('sha256').update(piece).digest('hex')
}

/** A line of a segment, and where it begins in what the segment decompresses to, in bytes. */
export interface SegmentLine {
  readonly entry: StreamEntry
  readonly offset: number
}

/** @throws HeadwaterError ARCHIVE_DAMAGED */
export async function unpackSegment(store: string, path: string, piece: Uint8Array): Promise<SegmentLine[]> {
  let text: Buffer
  try {
    text = await decompress(piece, { maxOutputLength: bytesMax })
  } catch (error) {
    throw damagedSegment(store, path, await readableBytes(piece), 'it cannot be decompressed further', error)
  }
  const lines: SegmentLine[] = []
  for (let offset = 0; offset < text.length;) {
    const end = text.indexOf(10, offset)
    const line = text.toString('utf8', offset, end < 0 ? text.length : end)
    lines.push({ entry: parseLine(line) ?? lineDamaged(store, path, offset), offset })
    offset += Buffer.byteLength(line) + 1
  }
  return lines
}

export function damagedSegment(
  store: string,
  path: string,
  offset: number,
  why: string,
  cause?: unknown,
): HeadwaterError {
  return new HeadwaterError(
    'ARCHIVE_DAMAGED',
    `Segment ${path} of the archive in ${store} is damaged at offset ${offset} of what it decompresses to: ${why}.`,
    { cause },
  )
}

function lineDamaged(store: string, path: string, offset: number): never {
  throw damagedSegment(store, path, offset, 'the line there is no entry of a log')
}

function parseLine(text: string): StreamEntry | undefined {
  try {
    const { id, ...fields } = JSON.parse(text) as Record<string, unknown>
    const flat = Object.entries(fields).flat()
    return typeof id === 'string' && flat.every((part) => typeof part === 'string') ? [id, flat] : undefined
  } catch {
    return undefined
  }
}

/** How much of a broken piece can still be decompressed. */
function readableBytes(piece: Uint8Array): Promise<number> {
  return new Promise((resolve) => {
    let bytes = 0
    const stream = createGunzip()
    stream.on('data', (chunk: Buffer) => (bytes += chunk.length))
    stream.on('error', () => resolve(bytes))
    stream.on('end', () => resolve(bytes))
    stream.end(piece)
  })
}
