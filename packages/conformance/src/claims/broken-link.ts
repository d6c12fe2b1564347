import assert from 'node:assert/strict'
import type { Change, SinkRow } from '@headwater/core'
import { aBook, books, type Book } from '../books.ts'
import { changeBuilder, type ChangeBuilder } from '../change-builder.ts'
import type { SinkClaim } from '../sink-claim.ts'
import type { FaultyLink, SinkHarness } from '../sink-harness.ts'
import { apply, plainRow, Trial } from '../trial.ts'

/** Breaks the link at the nth request from now; settles once it is broken. */
type Break = (link: FaultyLink, nth: number) => Promise<void>

const loseRequest: Break = (link, nth) => link.loseRequest(() => true, { nth })
const loseReply: Break = (link, nth) => link.loseReply(() => true, { nth })

export const brokenLinkClaims: readonly SinkClaim[] = [
  {
    claim: 'has each change whole or not at all when its link breaks before a request has arrived',
    run: (harness) => takeOverAfterBreaks(harness, loseRequest),
  },
  {
    claim: 'has each change whole or not at all when its link breaks before an answer has come',
    run: (harness) => takeOverAfterBreaks(harness, loseReply),
  },
  {
    claim: 'recovers by itself when a request was lost, and takes what is delivered again',
    run: (harness) => retryAfterBreaks(harness, loseRequest),
  },
  {
    claim: 'recovers by itself when an answer was lost, and takes what is delivered again',
    run: (harness) => retryAfterBreaks(harness, loseReply),
  },
]

/** Each time the link breaks, another process takes over and looks at what is there. */
function takeOverAfterBreaks(harness: SinkHarness, breakLink: Break): Promise<void> {
  return Trial.run(harness, books, async (trial) => {
    const log = await fill(trial)
    const { sink, link } = await trial.faulty()
    await atEachRequest(async (nth) => {
      const before = { epoch: 1, sequence: 2 * nth, branch: 'a' }
      const after = { epoch: 1, sequence: 2 * nth + 1, branch: 'a' }
      const victim = await trial.eventually(() => trial.open({ sink }))
      await trial.eventually(() => victim.advance(before))
      const batch = nextBatch(log, nth)
      const broken = hasSettled(breakLink(link, nth))
      const outcomes = await apply(victim, batch, after)

      // From here on the fence keeps out what the victim may still have under way.
      const successor = await trial.open()
      const held = await heldOf(trial, batch)
      for (const [index, outcome] of outcomes.entries()) {
        if (outcome.kind !== 'retry')
          assert.ok(held[index], `answered ${outcome.kind}, and does not have the change`)
      }
      if (harness.supports.transactions) {
        assert.equal(new Set(held).size, 1, 'left a part of a batch behind')
        assert.deepEqual(
          successor.position,
          held[0] ? after : before,
          'the position does not belong to the rows',
        )
      }
      trial.model.apply(batch.filter((_change, index) => held[index]))
      await trial.deliver(successor, batch, after)
      await trial.expectModel()
      return broken()
    })
    await trial.expectSums(await trial.open())
  })
}

/** Each time the link breaks, the same worker delivers again until it is through. */
function retryAfterBreaks(harness: SinkHarness, breakLink: Break): Promise<void> {
  return Trial.run(harness, books, async (trial) => {
    const log = await fill(trial)
    const { sink, link } = await trial.faulty()
    const partition = await trial.open({ sink })
    await atEachRequest(async (nth) => {
      const batch = nextBatch(log, nth)
      const broken = hasSettled(breakLink(link, nth))
      await trial.applyUntilDone(partition, batch)
      trial.model.apply(batch)
      await trial.expectModel()
      return broken()
    })
    await trial.expectSums(await trial.open())
  })
}

/** Goes on with the next request of an `apply` until the link did not break any more: the call had fewer. */
async function atEachRequest(breaksAt: (nth: number) => Promise<boolean>): Promise<void> {
  let nth = 1
  while (await breaksAt(nth)) nth++
  assert.ok(nth > 1, 'the link never broke: does the faulty sink go through it?')
}

function hasSettled(promise: Promise<void>): () => boolean {
  let settled = false
  void promise.then(() => {
    settled = true
  })
  return () => settled
}

async function fill(trial: Trial): Promise<ChangeBuilder<Book>> {
  const log = changeBuilder({ collection: books })
  await trial.deliver(await trial.open(), [log.put(aBook('changing')), log.put(aBook('odd'))])
  return log
}

/** One key is new, one changes, one goes and one comes back: each change can be told from what was there before. */
function nextBatch(log: ChangeBuilder<Book>, round: number): Change[] {
  const [goes, comes] = round % 2 === 0 ? (['even', 'odd'] as const) : (['odd', 'even'] as const)
  return [
    log.put(aBook(`new-${round}`)),
    log.put(
      aBook('changing', { pages: round, tags: Array.from({ length: 40 }, (_, index) => `tag ${index}`) }),
    ),
    log.delete(goes),
    log.put(aBook(comes, { pages: round })),
  ]
}

/** Which of these changes the target has: each must be there with all that belongs to it, or be as it was before. */
async function heldOf(trial: Trial, changes: readonly Change[]): Promise<boolean[]> {
  const shown = await trial.dumpedTexts()
  const rows = new Map<string, SinkRow>()
  for await (const row of trial.sink.list?.() ?? []) rows.set(row.key, plainRow(row))
  return changes.map(({ key, kind, value, stamp, hash }) => {
    const rowBefore = trial.model.rows.get(key)
    const before = { text: trial.textOf(rowBefore?.value), row: rowBefore && plainRow(rowBefore) }
    const after = { text: trial.textOf(value), row: { key, deleted: kind === 'delete', stamp, hash } }
    const held = shown.get(key) === after.text
    const expected = held ? after : before
    const state = { text: shown.get(key), row: trial.sink.list ? rows.get(key) : expected.row }
    assert.deepEqual(state, expected, `${JSON.stringify(key)} is neither as before nor as after`)
    return held
  })
}
