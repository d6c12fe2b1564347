import { HeadwaterError } from '@headwater/core'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** `user:*`: which keys of a source are meant, and the part of each that tells them apart. */
export class KeyPattern {
  readonly #before: Buffer
  readonly #after: Buffer

  /** @throws HeadwaterError OPTION_INVALID unless it has exactly one `*` */
  constructor(text: string) {
    const [before, after, ...more] = typeof text === 'string' ? text.split('*') : []
    if (before === undefined || after === undefined || more.length > 0) {
      throw new HeadwaterError(
        'OPTION_INVALID',
        `keys ${JSON.stringify(text)} must have one "*", which stands for the key in the collection: "user:*".`,
      )
    }
    this.#before = Buffer.from(before)
    this.#after = Buffer.from(after)
  }

  /** As Redis matches keys. */
  get glob(): string {
    return `${literally(this.#before)}*${literally(this.#after)}`
  }

  /** The part under the `*`; undefined where the key is not meant. Bytes, because keys need not be text. */
  idOf(key: Buffer): Buffer | undefined {
    const [before, after] = [this.#before, this.#after]
    const end = key.length - after.length
    if (end < before.length) return undefined
    if (before.compare(key, 0, before.length) !== 0) return undefined
    if (after.length > 0 && after.compare(key, end) !== 0) return undefined
    return key.subarray(before.length, end)
  }

  keyOf(id: string): Buffer {
    return Buffer.concat([this.#before, Buffer.from(id), this.#after])
  }
}

/** As a pattern that only these bytes match. */
function literally(bytes: Buffer): string {
  return bytes.toString().replaceAll(/[*?[\]\\]/g, String.raw`\$&`)
}

/** Text, or undefined where the bytes are none. */
export function textOf(bytes: Buffer): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}
