import type { PartitionSnapshot } from '@headwater/core'
import { source as readSource } from './read-sums.lua.ts'
import { digestRows } from './redis-digest.ts'
import { runScript, type RedisTarget } from './redis-target.ts'
import { textReply } from './reply.ts'
import { script } from './script.ts'
import { source as storeSource } from './store-sums.lua.ts'

const readScript = script(readSource)
const storeScript = script(storeSource)

/**
 * The sums that the scripts keep as they apply and replace: a look at them takes no time, whatever the number of rows. They
 * say what was applied; that it is still there, a recount says, or a scrub.
 *
 * @param sumsKey of the partition
 */
export async function snapshotOf(
  target: RedisTarget,
  partition: number,
  sumsKey: string,
): Promise<PartitionSnapshot> {
  const fields = textReply(await runScript(target, readScript, { keys: [sumsKey], args: [] }))
  const sums = new Map<number, bigint>()
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [bucket, half] = fields[at]!.split(' ')
    const sum = BigInt(fields[at + 1]!) << (half === 'high' ? 32n : 0n)
    sums.set(Number(bucket), BigInt.asUintN(64, (sums.get(Number(bucket)) ?? 0n) + sum))
  }
  return { sums: Promise.resolve(sums), recount: () => recount(target, partition, sumsKey) }
}

async function recount(
  target: RedisTarget,
  partition: number,
  sumsKey: string,
): Promise<ReadonlyMap<number, bigint>> {
  const cells = (await digestRows(target, { depth: 0 })).filter((cell) => cell.partition === partition)
  const args = cells.flatMap(({ bucket, sum }) => [
    `${bucket} high`,
    String(sum >> 32n),
    `${bucket} low`,
    String(sum & 0xffff_ffffn),
  ])
  await runScript(target, storeScript, { keys: [sumsKey], args })
  return new Map(cells.map(({ bucket, sum }) => [bucket, sum]))
}
