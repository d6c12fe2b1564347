import assert from 'node:assert/strict'
import type { Change, SinkRow } from '@headwater/core'
import { aBook, books, type Book } from '../books.ts'
import { changeBuilder, type ChangeBuilder } from '../change-builder.ts'
import { eventually } from '../eventually.ts'
import type { SinkClaim } from '../sink-claim.ts'
import type { FaultyLink, SinkHarness } from '../sink-harness.ts'
import { apply, applyUntilDone, plainRow, Trial } from '../trial.ts'

type Cut = (link: FaultyLink, bytes: number) => void

const cutRequest: Cut = (link, bytes) => link.cutAfterRequestBytes(bytes)
const cutReply: Cut = (link, bytes) => link.cutAfterReplyBytes(bytes)

export const brokenLinkClaims: readonly SinkClaim[] = [
  {
    claim: 'has each change whole or not at all when its link breaks while it sends',
    run: (harness) => takeOverAfterCuts(harness, cutRequest),
  },
  {
    claim: 'has each change whole or not at all when its link breaks before the answer has come',
    run: (harness) => takeOverAfterCuts(harness, cutReply),
  },
  {
    claim: 'recovers by itself when its link breaks while it sends, and takes what is delivered again',
    run: (harness) => retryAfterCuts(harness, cutRequest),
  },
  {
    claim:
      'recovers by itself when its link breaks before the answer has come, and takes what is delivered again',
    run: (harness) => retryAfterCuts(harness, cutReply),
  },
]

/** Breaks the link at every point of a conversation; each time another process takes over and looks at what is there. */
function takeOverAfterCuts(harness: SinkHarness, cut: Cut): Promise<void> {
  return Trial.run(harness, books, async (trial) => {
    const log = await fill(trial)
    const { sink, link } = await trial.faulty()
    await atEachCutPoint(link, async (bytes, round) => {
      const before = { epoch: 1, sequence: 2 * round + 1, branch: 'a' }
      const after = { epoch: 1, sequence: 2 * round + 2, branch: 'a' }
      const victim = await eventually(() => trial.open({ sink }))
      await eventually(() => victim.advance(before))
      const batch = nextBatch(log, round)
      cut(link, bytes)
      const outcomes = await apply(victim, batch, after)
      link.heal()

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
    })
  })
}

/** Breaks the link at every point of a conversation; each time the same worker delivers again until it is through. */
function retryAfterCuts(harness: SinkHarness, cut: Cut): Promise<void> {
  return Trial.run(harness, books, async (trial) => {
    const log = await fill(trial)
    const { sink, link } = await trial.faulty()
    const partition = await trial.open({ sink })
    await atEachCutPoint(link, async (bytes, round) => {
      const batch = nextBatch(log, round)
      cut(link, bytes)
      await applyUntilDone(partition, batch)
      link.heal()
      trial.model.apply(batch)
      await trial.expectModel()
    })
  })
}

/** The points lie close together where a conversation begins, and go on until a test ran through without a cut. */
async function atEachCutPoint(
  link: FaultyLink,
  test: (bytes: number, round: number) => Promise<void>,
): Promise<void> {
  let round = 0
  for (let bytes = 0; bytes < 65_536; bytes = Math.ceil(bytes * 1.6) + 1) {
    const cuts = link.cuts
    await test(bytes, round++)
    if (link.cuts === cuts) break
  }
  assert.ok(link.cuts > 0, 'the link was never cut: does the sink go through it?')
}

async function fill(trial: Trial): Promise<ChangeBuilder<Book>> {
  const log = changeBuilder({ collection: books })
  await trial.deliver(await trial.open(), [log.put(aBook('changing')), log.put(aBook('even'))])
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
