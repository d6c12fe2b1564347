import assert from 'node:assert/strict'
import type { Change, ReplaceOutcome, SinkPartition, SinkValue } from '@headwater/core'
import { aBook, books } from '../books.ts'
import { changeBuilder, type ChangeBuilder } from '../change-builder.ts'
import type { Book } from '../books.ts'
import type { SinkClaim } from '../sink-claim.ts'
import type { SinkHarness } from '../sink-harness.ts'
import { Trial } from '../trial.ts'

/** A claim about a sink that can put keys right. */
function claim(
  text: string,
  test: (trial: Trial, log: ChangeBuilder<Book>, partition: SinkPartition) => Promise<void>,
): SinkClaim {
  return {
    claim: text,
    concerns: ({ supports }) => supports.replace ?? false,
    run: (harness: SinkHarness) =>
      Trial.run(harness, books, async (trial) => {
        await test(trial, changeBuilder({ collection: books }), await trial.open())
      }),
  }
}

export const replaceClaims: readonly SinkClaim[] = [
  claim('replaces what was seen with a change that is older, or as old', async (trial, log, partition) => {
    const [first, second] = [log.put(aBook('atlas')), log.put(aBook('atlas', { pages: 2 }))]
    await trial.deliver(partition, [second])
    await replace(trial, 'atlas', await look(trial, 'atlas'), first)
    hold(trial, first)
    await trial.expectModel()
    const corrected = { ...first, hash: 77n }
    await replace(trial, 'atlas', await look(trial, 'atlas'), corrected)
    hold(trial, corrected)
    await trial.expectModel()
    // What the log brings next is newer, as ever.
    await trial.deliver(partition, [log.put(aBook('atlas', { pages: 3 }))])
    await trial.expectModel()
  }),
  claim(
    'replaces a row with a delete, a tombstone with a row, and nothing with either',
    async (trial, log, partition) => {
      const put = log.put(aBook('atlas'))
      await trial.deliver(partition, [put, log.put(aBook('novel')), log.delete('poems')])
      for (const change of [
        log.delete('atlas', { sequence: 1 }),
        log.put(aBook('poems'), { sequence: 1 }),
        log.put(aBook('essays')),
        log.delete('letters'),
      ]) {
        await replace(trial, change.key, await look(trial, change.key), change)
        hold(trial, change)
        await trial.expectModel()
      }
    },
  ),
  claim(
    'forgets a row and a tombstone without a trace, so that anything may come after',
    async (trial, log, partition) => {
      await trial.deliver(partition, [
        log.put(aBook('atlas'), { sequence: 50 }),
        log.delete('poems', { sequence: 51 }),
      ])
      for (const key of ['atlas', 'poems']) {
        await replace(trial, key, await look(trial, key), undefined)
        trial.model.rows.delete(key)
      }
      await trial.expectModel()
      await trial.deliver(partition, [
        log.put(aBook('atlas'), { sequence: 1 }),
        log.put(aBook('poems'), { sequence: 2 }),
      ])
      await trial.expectModel()
    },
  ),
  claim('leaves a key alone that is not as it was seen', async (trial, log, partition) => {
    await trial.deliver(partition, [log.put(aBook('atlas')), log.put(aBook('novel')), log.delete('poems')])
    const seen = new Map<string, SinkValue | undefined>()
    for (const key of ['atlas', 'novel', 'poems', 'essays']) seen.set(key, await look(trial, key))
    await trial.deliver(partition, [
      log.put(aBook('atlas', { pages: 2 })),
      log.delete('novel'),
      log.put(aBook('poems')),
      log.put(aBook('essays')),
    ])
    for (const [key, observed] of seen) {
      for (const change of [
        undefined,
        log.put(aBook(key, { pages: 9 }), { sequence: 1 }),
        log.delete(key, { sequence: 1 }),
      ]) {
        await replace(trial, key, observed, change, 'changed')
      }
    }
    await replace(trial, 'nobody', seen.get('atlas'), log.put(aBook('nobody')), 'changed')
    await replace(trial, 'atlas', undefined, log.put(aBook('atlas')), 'changed')
    await trial.expectModel()
  }),
  claim(
    'answers each replacement by itself, and those that race for one key but once',
    async (trial, log, partition) => {
      await trial.deliver(partition, [log.put(aBook('atlas')), log.put(aBook('novel'))])
      const [atlas, novel] = [await look(trial, 'atlas'), await look(trial, 'novel')]
      const changes = [1, 2, 3].map((pages) => log.put(aBook('atlas', { pages })))
      const other = log.put(aBook('novel', { pages: 5 }))
      const answers = await trial.sink.replace!([
        ...changes.map((change) => ({ key: 'atlas', partition: 0, observed: atlas, change })),
        { key: 'novel', partition: 0, observed: novel, change: other },
      ])
      assert.deepEqual(answers.map(({ kind }) => kind).toSorted(), [
        'changed',
        'changed',
        'replaced',
        'replaced',
      ])
      hold(trial, changes[answers.findIndex(({ kind }) => kind === 'replaced')]!)
      hold(trial, other)
      await trial.expectModel()
    },
  ),
  claim('loses nothing when a worker applies while keys are put right', async (trial, log, partition) => {
    const keys = Array.from({ length: 20 }, (_, index) => `book-${index}`)
    const old = keys.map((key) => log.put(aBook(key)))
    await trial.deliver(partition, old)
    const observed = await trial.sink.read!(keys)
    const newer = keys.map((key) => log.put(aBook(key, { pages: 7 })))
    const replacing = (await trial.another()).replace!(
      keys.map((key, index) => ({
        key,
        partition: 0,
        observed: observed[index],
        change: { ...old[index]!, hash: 5n },
      })),
    )
    // Whoever comes first: what the worker brings is newer than what is put right.
    await trial.applyUntilDone(partition, newer)
    await replacing
    trial.model.apply(newer)
    await trial.expectModel()
  }),
]

async function look(trial: Trial, key: string): Promise<SinkValue | undefined> {
  return (await trial.sink.read!([key]))[0]
}

async function replace(
  trial: Trial,
  key: string,
  observed: SinkValue | undefined,
  change: Change | undefined,
  expected: ReplaceOutcome['kind'] = 'replaced',
): Promise<void> {
  const [outcome] = await trial.sink.replace!([{ key, partition: 0, observed, change }])
  assert.equal(outcome?.kind, expected, `replacing ${key}`)
}

function hold({ model }: Trial, { key, kind, stamp, hash, value }: Change): void {
  model.rows.set(key, { key, deleted: kind === 'delete', stamp, hash, value })
}
