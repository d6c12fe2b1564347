import assert from 'node:assert/strict'
import { aBook, books } from '../books.ts'
import { changeBuilder } from '../change-builder.ts'
import { notes } from '../notes.ts'
import type { SinkClaim } from '../sink-claim.ts'
import { Trial } from '../trial.ts'

export const capabilityClaims: readonly SinkClaim[] = [
  {
    claim: 'declares what it is expected to support, and has nothing that it does not declare',
    run: (harness) =>
      Trial.run(harness, books, async ({ target: { sink } }) => {
        const {
          transactions,
          list,
          read,
          replace = false,
          digest = false,
          snapshot = false,
        } = sink.capabilities
        const expected = { replace: false, digest: false, snapshot: false, ...harness.supports }
        const { nul } = expected
        assert.deepEqual({ transactions, list, read, replace, digest, snapshot, nul }, expected)
        const has = {
          list: 'list' in sink,
          read: 'read' in sink,
          replace: 'replace' in sink,
          digest: 'digest' in sink,
        }
        assert.deepEqual(has, { list, read, replace, digest })
      }),
  },
  {
    claim: 'lists every row once, deleted ones too, also when there are thousands',
    concerns: (harness) => harness.supports.list,
    run: (harness) =>
      Trial.run(harness, notes, async (trial) => {
        for (const partition of [0, 1, 2]) {
          const log = changeBuilder({ collection: notes, partition })
          const opened = await trial.open({ partition })
          const ids = Array.from({ length: 900 }, (_, index) => `note-${partition}-${index}`)
          await trial.deliver(
            opened,
            ids.map((id) => log.put({ id, content: id })),
          )
          await trial.deliver(
            opened,
            ids.slice(0, 400).map((id) => log.delete(id)),
          )
        }
        await trial.expectModel()
      }),
  },
  {
    claim: 'reads keys in the order asked, as often as asked, and none when asked for none',
    concerns: (harness) => harness.supports.read,
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        await trial.deliver(await trial.open(), [
          log.put(aBook('atlas')),
          log.put(aBook('novel')),
          log.delete('poems'),
        ])
        const keys = ['novel', 'nobody', 'poems', 'atlas', 'novel', 'a\0b']
        const values = await trial.sink.read?.(keys)
        assert.deepEqual(
          values?.map((value) => value && [value.key, value.deleted]),
          [['novel', false], undefined, ['poems', true], ['atlas', false], ['novel', false], undefined],
        )
        assert.deepEqual(await trial.sink.read?.([]), [])
      }),
  },
  {
    claim: 'takes a batch as large as it declares',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const { changes, bytes } = trial.sink.capabilities.batch
        const log = changeBuilder({ collection: books })
        const partition = await trial.open()
        const many = Array.from({ length: Math.min(changes, 10_000) }, (_, index) =>
          log.put(aBook(`book-${index}`)),
        )
        await trial.deliver(partition, many)
        const titleBytes = Math.min(bytes, 4_194_304) / 4 - 2_048
        const large = [0, 1, 2, 3].map((index) =>
          log.put(aBook(`large-${index}`, { title: 'x'.repeat(Math.max(0, titleBytes)) })),
        )
        await trial.deliver(partition, large)
        await trial.expectModel()
      }),
  },
  {
    claim: 'takes as many calls at a time as it declares, of several partitions side by side',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const opened = await Promise.all([0, 1, 2].map(async (partition) => trial.open({ partition })))
        const rounds = Array.from(
          { length: 2 * Math.min(trial.sink.capabilities.concurrency, 16) },
          (_, round) => round,
        )
        const calls = opened.flatMap((sinkPartition, partition) => {
          const log = changeBuilder({ collection: books, partition })
          return rounds.map((round) => {
            const batch = [1, 2, 3].map((index) => log.put(aBook(`book-${partition}-${round}-${index}`)))
            return trial.deliver(sinkPartition, batch, { epoch: 1, sequence: round + 1, branch: 'a' })
          })
        })
        await Promise.all(calls)
        await trial.expectModel()
      }),
  },
  {
    claim: 'serves two groups that write the same keys at the same time in opposite orders',
    run: (harness) =>
      Trial.run(harness, books, async (trial) => {
        const log = changeBuilder({ collection: books })
        const left = await trial.open({ group: 'left' })
        const right = await trial.open({ group: 'right', sink: await trial.another() })
        for (let round = 0; round < 10; round++) {
          const batch = Array.from({ length: 40 }, (_, index) =>
            index % 5 === round % 5
              ? log.delete(`book-${index}`)
              : log.put(aBook(`book-${index}`, { pages: round })),
          )
          await Promise.all([
            trial.applyUntilDone(left, batch),
            trial.applyUntilDone(right, batch.toReversed()),
          ])
          trial.model.apply(batch)
        }
        await trial.expectModel()
      }),
  },
]
