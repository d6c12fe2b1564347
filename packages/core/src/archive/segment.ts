import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { createGunzip, gunzip, gzip } from 'node:zlib'
import type { StreamEntry } from '../change/batch.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'

const compress = promisify(gzip)
const decompress = promisify(gunzip)

/**
 * Of a piece, and of what a segment decompresses to: more is never written, and never read, whatever a manifest says. Far
 * above what `segmentSizeMax` characters come to with their escapes, and the batch that closes the segment.
 */
export const pieceBytesMax: number = 128 * 1_048_576

/** At how many characters a segment is closed at the latest. */
export const segmentSizeMax: number = 16 * 1_048_576

/**
 * Entries of the log as a segment keeps them: gzipped, a JSON object a line, with the entry's ID and its fields.
 *
 * @throws HeadwaterError LOG_DAMAGED where they are larger than any of ours, so that nobody could read them
 */
export async function packSegment(entries: readonly StreamEntry[]): Promise<Buffer> {
  const lines = entries.map(([id, fields]) => {
    const texts = fields ?? []
    const line = new Map([['id', id]])
    for (let at = 0; at + 1 < texts.length; at += 2) line.set(texts[at]!, texts[at + 1]!)
    // Once more: a field that somebody else has added to a batch may have any name.
    return JSON.stringify(Object.fromEntries(line.set('id', id)))
  })
  const bytes = lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0)
  if (bytes > pieceBytesMax) {
    throw new HeadwaterError(
      'LOG_DAMAGED',
      `Entries ${entries[0]![0]} to ${entries.at(-1)![0]} come to ${bytes} bytes, and a segment of an archive may have ${pieceBytesMax}: no batch of ours is as large, so somebody else has written fields of them.`,
    )
  }
  return await compress(Buffer.from(`${lines.join('\n')}\n`))
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
    text = await decompress(piece, { maxOutputLength: pieceBytesMax })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw damagedSegment(store, path, pieceBytesMax, 'it goes on, and none is as large', error)
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
