import { hashOfLanes } from '../change/content-hash.ts'

/** The sum of each bucket, modulo 2^64, from the two lanes of each in which append keeps them. */
export function bucketSums(lanes: Buffer | null, buckets: number): readonly bigint[] {
  return Array.from({ length: buckets }, (_, bucket) => {
    if (!lanes || lanes.length < 16 * (bucket + 1)) return 0n
    const [high, low] = [lanes.readBigInt64BE(16 * bucket), lanes.readBigInt64BE(16 * bucket + 8)]
    return BigInt.asUintN(64, hashOfLanes(high, low))
  })
}
