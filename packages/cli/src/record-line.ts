/** A record of a file: its value, or why it has none. */
export type RecordLine = {
  /** On which line of the file it ends, from 1. */
  readonly number: number
  /** Its own, with what ends it. */
  readonly bytes: number
} & ({ readonly kind: 'value'; readonly value: unknown } | { readonly kind: 'broken'; readonly why: string })

/** No value that the log takes comes near it, and a file without ends of records must not fill the memory. */
export const recordBytesMax = 16_777_216
