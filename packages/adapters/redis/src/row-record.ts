import type { Change, SinkRow } from '@headwater/core'

/**
 * The bookkeeping of one row, of fixed width so that Lua reads it with one `struct.unpack`. Big-endian:
 *
 * | bytes | what |
 * |---|---|
 * | 4 | epoch |
 * | 6 | sequence |
 * | 8 | content hash, 0 for a tombstone |
 * | 2 | partition of the log |
 * | 2 | bucket inside the partition |
 * | 1 | 1 live, 0 tombstone |
 * | rest | the entity's key |
 *
 * The entity's key tells when two entities are given the same data key. `apply.lua` knows this layout too.
 */
const offset = { epoch: 0, sequence: 4, hash: 10, partition: 18, bucket: 20, live: 22, key: 23 } as const

export function rowRecord({ key, kind, stamp, hash, partition, bucket }: Change): Buffer {
  const record = Buffer.allocUnsafe(offset.key + Buffer.byteLength(key))
  record.writeUInt32BE(stamp.epoch, offset.epoch)
  record.writeUIntBE(stamp.sequence, offset.sequence, 6)
  record.writeBigUInt64BE(hash, offset.hash)
  record.writeUInt16BE(partition, offset.partition)
  record.writeUInt16BE(bucket, offset.bucket)
  record.writeUInt8(kind === 'delete' ? 0 : 1, offset.live)
  record.write(key, offset.key)
  return record
}

/** The row that a record tells of, or undefined when nobody but a stranger can have written it. */
export function parseRowRecord(record: Buffer): SinkRow | undefined {
  if (record.length < offset.key) return undefined
  return {
    key: record.toString('utf8', offset.key),
    deleted: record.readUInt8(offset.live) === 0,
    stamp: { epoch: record.readUInt32BE(offset.epoch), sequence: record.readUIntBE(offset.sequence, 6) },
    hash: record.readBigUInt64BE(offset.hash),
  }
}
