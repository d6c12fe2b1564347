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
  record.writeUIntBE(stamp.epoch, offset.epoch, 6)
  record.writeUIntBE(stamp.sequence, offset.sequence, 6)
  record.writeBigUInt64BE(hash, offset.hash)
  record.writeUInt16BE(partition, offset.partition)
  record.writeUInt16BE(bucket, offset.bucket)
  record.writeUInt8(kind === 'delete' ? 0 : 1, offset.live)
  record.write(key, offset.key)
  return record
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
