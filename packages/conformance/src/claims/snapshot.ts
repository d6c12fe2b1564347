import assert from 'node:assert/strict'
import type { PartitionSnapshot, SinkPartition } from '@headwater/core'
import { aBook, books } from '../books.ts'
import { changeBuilder } from '../change-builder.ts'
import type { SinkClaim } from '../sink-claim.ts'
import type { SinkHarness } from '../sink-harness.ts'
import { Trial } from '../trial.ts'

const concerns = ({ supports }: SinkHarness): boolean => supports.snapshot ?? false

export const snapshotClaims: readonly SinkClaim[] = [
  {
    claim: 'keeps in step what its snapshots sum up and the rows it holds, whatever is applied and replaced',
    concerns,
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const opened = [await trial.open({ partition: 0 }), await trial.open({ partition: 1 })]
        const logs = [0, 1].map((partition) => changeBuilder({ collection: books, partition }))
        for (const [partition, log] of logs.entries()) {
          const first = Array.from({ length: 60 }, (_, index) => log.put(aBook(idOf(partition, index))))
          const second = Array.from({ length: 30 }, (_, index) =>
            log.put(aBook(idOf(partition, index), { pages: 2 })),
          )
          const deletes = Array.from({ length: 20 }, (_, index) => log.delete(idOf(partition, index + 20)))
          for (const batch of [second, first, deletes, second]) await trial.deliver(opened[partition]!, batch)
        }
        await expectInStep(trial, opened)
        if (!trial.sink.replace) return
        const keys = [idOf(0, 1), idOf(0, 2), idOf(0, 25)]
        const seen = await trial.sink.read!(keys)
        await trial.sink.replace([
          {
            key: keys[0]!,
            partition: 0,
            observed: seen[0],
            change: logs[0]!.put(aBook(keys[0]!, { pages: 9 })),
          },
          { key: keys[1]!, partition: 0, observed: seen[1], change: logs[0]!.delete(keys[1]!) },
          { key: keys[2]!, partition: 0, observed: seen[2], change: logs[0]!.put(aBook(keys[2]!)) },
        ])
        const [again] = await trial.sink.read!([keys[0]!])
        await trial.sink.replace([{ key: keys[0]!, partition: 0, observed: again, change: undefined }])
        await expectInStep(trial, opened)
      }),
  },
  {
    claim: 'keeps out of a snapshot what is applied after it',
    concerns,
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const opened = await trial.open()
        const before = log.put(aBook('atlas'))
        await trial.deliver(opened, [before])
        const snapshot = await lookAt(opened)
        await trial.deliver(opened, [log.put(aBook('atlas', { pages: 2 })), log.put(aBook('novel'))])
        assert.deepEqual(plain(await snapshot.sums), plain(new Map([[before.bucket, before.hash]])))
      }),
  },
]

function idOf(partition: number, index: number): string {
  return `book-${partition}-${index}`
}

/** Compares the snapshot of each partition, and where there is one its recount, with the digests of the rows. */
async function expectInStep(trial: Trial, opened: readonly SinkPartition[]): Promise<void> {
  const cells = await trial.sink.digest!({ depth: 0 })
  for (const [partition, of] of opened.entries()) {
    const held = cells.filter((cell) => cell.partition === partition)
    const expected = plain(new Map(held.map(({ bucket, sum }) => [bucket, sum])))
    const snapshot = await lookAt(of)
    assert.deepEqual(plain(await snapshot.sums), expected)
    if (snapshot.recount) assert.deepEqual(plain(await snapshot.recount()), expected)
    assert.deepEqual(plain(await (await lookAt(of)).sums), expected)
  }
}

async function lookAt(partition: SinkPartition): Promise<PartitionSnapshot> {
  assert.ok('snapshot' in partition, 'the partition has no snapshot()')
  return await partition.snapshot!()
}

/** Without the buckets that hold nothing, modulo 2^64. */
function plain(sums: ReadonlyMap<number, bigint>): [number, bigint][] {
  return [...sums]
    .map(([bucket, sum]): [number, bigint] => [bucket, BigInt.asUintN(64, sum)])
    .filter(([, sum]) => sum !== 0n)
    .toSorted(([a], [b]) => a - b)
}
