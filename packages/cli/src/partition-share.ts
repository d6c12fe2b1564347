/**
 * Which share of the work is done where it goes partition by partition: partitions to come are taken to be as large as those so
 * far are on average.
 *
 * @param partition the present one, from 0
 * @param done over all partitions
 * @param left in the present one
 */
export function partitionShare(partition: number, partitions: number, done: number, left: number): number {
  const known = done + left
  return known === 0 ? partition / partitions : (done / known) * ((partition + 1) / partitions)
}
