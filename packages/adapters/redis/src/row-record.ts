import type { Change, SinkRow } from '@headwater/core'

/**
 * The bookkeeping of one row, of fixed width so that Lua reads it with one `struct.unpack`. Big-endian:
 *
 * | bytes | what |
 * |---|---|
 * | 6 | epoch |
 * | 6 | sequence |
 * | 8 | content hash, 0 for a tombstone |
 * | 2 | partition of the log |
 * | 2 | bucket inside the partition |
 * | 1 | 1 live, 0 tombstone |
 * | rest | the entity's key |
 *
 * The entity's key tells when two entities are given the same data key. `apply.lua` and `row.lua` know this layout too.
 */
const offset = { epoch: 0, sequence: 6, hash: 12, partition: 20, bucket: 22, live: 24, key: 25 } as const

export function rowRecord({ key, kind, stamp, hash, partition, bucket }: Change): Buffer {
  const record = Buffer.allocUnsafe(offset.key + Buffer.byteLength(key))
  writeNumber(record, offset.epoch, stamp.epoch)
  writeNumber(record, offset.sequence, stamp.sequence)
  hash64.setBigUint64(0, hash)
  record.set(hashBytes, offset.hash)
  record[offset.partition] = partition >>> 8
  record[offset.partition + 1] = partition
  record[offset.bucket] = bucket >>> 8
  record[offset.bucket + 1] = bucket
  record[offset.live] = kind === 'delete' ? 0 : 1
  record.write(key, offset.key)
  return record
}

const hashBytes = new Uint8Array(8)
/** By way of memory, and numbers byte by byte: each batch makes some hundred records, and Buffer's own methods cost more. */
const hash64 = new DataView(hashBytes.buffer)

/** In six bytes. */
function writeNumber(record: Buffer, at: number, number: number): void {
  const upper = Math.floor(number / 2 ** 32)
  record[at] = upper >>> 8
  record[at + 1] = upper
  record[at + 2] = number >>> 24
  record[at + 3] = number >>> 16
  record[at + 4] = number >>> 8
  record[at + 5] = number
}

/**
 * The row that a script made text of, as `row.lua` does: replies are texts, for which a client needs no special call.
 * Undefined for a record that only a stranger can have written.
 */
export function parseRow(text: string): SinkRow | undefined {
  const [, epoch, sequence, high = '', low = '', live, key] = rowPattern.exec(text) ?? []
  if (key === undefined) return undefined
  return {
    key,
    deleted: live === '0',
    stamp: { epoch: Number(epoch), sequence: Number(sequence) },
    hash: (BigInt(high) << 32n) + BigInt(low),
  }
}

const rowPattern = /^(\d+) (\d+) (\d+) (\d+) ([01]) (.*)$/s
