import { constants, createGzip, type Gzip } from 'node:zlib'

/** Turns the text of an event stream into what is sent. */
export interface EventEncoder {
  encode(text: string): Promise<Uint8Array>
  /** What remains to be sent at the end. */
  end(): Promise<Uint8Array>
}

export function plainEncoder(): EventEncoder {
  const encoder = new TextEncoder()
  return {
    encode: (text) => Promise.resolve(encoder.encode(text)),
    end: () => Promise.resolve(new Uint8Array()),
  }
}

/** Sends everything at once, so that no event waits in the compressor; with a small window, as each stream has its own. */
export function gzipEncoder(): EventEncoder {
  const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH, windowBits: 13, memLevel: 6 })
  let chunks: Buffer[] = []
  gzip.on('data', (chunk: Buffer) => chunks.push(chunk))
  const taken = (): Uint8Array => {
    const bytes = Buffer.concat(chunks)
    chunks = []
    return bytes
  }
  return {
    encode: (text) => written(gzip, text).then(taken),
    end: () => ended(gzip).then(taken),
  }
}

function written(gzip: Gzip, text: string): Promise<void> {
  return new Promise((resolve, rejectWrite) => {
    gzip.write(text, (error) => (error ? rejectWrite(error) : resolve()))
  })
}

function ended(gzip: Gzip): Promise<void> {
  return new Promise((resolve) => {
    gzip.once('end', resolve)
    gzip.end()
  })
}
