import type { StreamEntry } from '../change/batch.ts'
import type { Stamp } from '../change/stamp.ts'

/** What the append script says over pub/sub: the log of a partition has grown up to here, perhaps by this very entry. */
export interface LiveMessage {
  /** Of which log: channels are shared by all databases of a server. */
  readonly lineage: string
  readonly upTo: Stamp
  /** Undefined where it was too large to be sent along. */
  readonly entry: StreamEntry | undefined
}

/** Reads what publish.lua writes. Undefined for whatever else somebody may send over the channel. */
export function parseLiveMessage(message: Buffer): LiveMessage | undefined {
  const lineFeed = message.indexOf(10)
  const head = message.toString('latin1', 0, lineFeed === -1 ? message.length : lineFeed)
  const parts = /^([0-9a-f]{16}) ((\d{1,15})-(\d{1,15}))((?: \d{1,7})*)$/.exec(head)
  if (!parts) return undefined
  const [, lineage = '', id = '', epoch, sequence, lengths = ''] = parts
  const upTo = { epoch: Number(epoch), sequence: Number(sequence) }
  if (lengths === '') return { lineage, upTo, entry: undefined }
  const fields: string[] = []
  let at = lineFeed + 1
  for (const length of lengths.slice(1).split(' ')) {
    fields.push(message.toString('utf8', at, at + Number(length)))
    at += Number(length)
  }
  return at === message.length ? { lineage, upTo, entry: [id, fields] } : undefined
}
