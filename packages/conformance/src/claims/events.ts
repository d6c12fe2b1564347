import assert from 'node:assert/strict'
import { canonicalJson, type Change } from '@headwater/core'
import * as fc from 'fast-check'
import { changeBuilder, type ChangeBuilder } from '../change-builder.ts'
import {
  asStates,
  type EventSinkHarness,
  type EventSinkTarget,
  type TakenEvent,
} from '../event-sink-harness.ts'
import { notes, type Note } from '../notes.ts'
import type { FaultyLink } from '../sink-harness.ts'
import { apply, Trial } from '../trial.ts'

/** One sentence that must be true of a sink that takes events. */
export interface EventSinkClaim {
  /** Reads on after the sink's name. */
  readonly claim: string
  /** Default: of every one. */
  readonly concerns?: (harness: EventSinkHarness) => boolean
  /** Rejects when the claim is not true. */
  readonly run: (harness: EventSinkHarness) => Promise<void>
}

export const eventClaims: readonly EventSinkClaim[] = [
  {
    claim: 'says that it takes events',
    run: (harness) => onEvents(harness, async ({ target: { sink } }) => assert.equal(sink.takes, 'events')),
  },
  {
    claim: 'takes every event, one for one, in the order of its key',
    run: (harness) =>
      onEvents(harness, async (trial, taken) => {
        const log = changeBuilder({ collection: notes })
        const partition = await trial.open()
        const events: Change[] = []
        for (let round = 1; round <= 12; round++) {
          const batch = [log.put(note('a', round)), log.put(note('b', [round])), comesAndGoes(log, round)]
          await trial.deliver(partition, batch)
          events.push(...batch)
        }
        expectTaken(await taken(), events)
      }),
  },
  {
    claim: 'takes an event once, from wherever and by whomever it is delivered again',
    run: (harness) =>
      fc.assert(
        fc.asyncProperty(replays, (steps) =>
          onEvents(harness, async (trial, taken) => {
            const log = changeBuilder({ collection: notes })
            const events = Array.from({ length: 12 }, (_, at) => log.put(note('abc'[at % 3]!, at)))
            let known = 0
            for (const { from, count, other } of steps) {
              const partition = await trial.open(other ? { sink: await trial.another() } : {})
              const end = Math.min(events.length, known + count)
              for (const event of events.slice(Math.min(from, known), end))
                await trial.deliver(partition, [event])
              known = Math.max(known, end)
            }
            expectTaken(await taken(), events.slice(0, known))
          }),
        ),
        { numRuns: harness.runs ?? 20 },
      ),
  },
  {
    claim: 'goes on in a later epoch, in which versions begin below those that were lost',
    run: (harness) =>
      onEvents(harness, async (trial, taken) => {
        const log = changeBuilder({ collection: notes })
        const before = [1, 2, 3, 4].map((content) => log.put(note('a', content)))
        const partition = await trial.open()
        for (const event of before) await trial.deliver(partition, [event])
        const survivor = log.fork(2)
        const after = [survivor.put(note('a', 'third again')), survivor.put(note('a', 'fourth again'))]
        for (const event of [...after, ...before]) await trial.deliver(partition, [event])
        expectTaken(await taken(), [...before, ...after])
      }),
  },
  {
    claim: 'has each event once when a request or an answer was lost, and it is delivered again',
    run: (harness) =>
      onEvents(harness, async (trial, taken) => {
        const log = changeBuilder({ collection: notes })
        const { sink, link } = await trial.faulty()
        const partition = await trial.open({ sink })
        const events: Change[] = []
        for (const breakLink of [loseRequest, loseReply]) {
          for (let nth = 1; nth <= 3; nth++) {
            const batch = [log.put(note('a', nth)), log.put(note(`new-${events.length}`, nth))]
            void breakLink(link, nth)
            await trial.applyUntilDone(partition, batch)
            events.push(...batch)
          }
        }
        expectTaken(await taken(), events)
      }),
  },
  {
    claim: 'answers gap to an event that comes before the one before it, and takes it when that is there',
    concerns: ({ supports }) => supports.gaps,
    run: (harness) =>
      onEvents(harness, async (trial, taken) => {
        const log = changeBuilder({ collection: notes })
        const [first, second, third] = [1, 2, 3].map((content) => log.put(note('a', content)))
        const other = log.put(note('b', 1))
        const partition = await trial.open()
        const kinds = async (...events: readonly Change[]) =>
          (await apply(partition, events)).map(({ kind }) => kind)
        assert.deepEqual(await kinds(second!, other), ['gap', 'applied'])
        assert.deepEqual(await kinds(first!), ['applied'])
        assert.deepEqual(await kinds(third!), ['gap'])
        expectTaken(await taken(), [other, first!])
        assert.deepEqual(await kinds(second!), ['applied'])
        assert.deepEqual(await kinds(third!), ['applied'])
        expectTaken(await taken(), [other, first!, second!, third!])
      }),
  },
]

const loseRequest = (link: FaultyLink, nth: number): Promise<void> => link.loseRequest(() => true, { nth })
const loseReply = (link: FaultyLink, nth: number): Promise<void> => link.loseReply(() => true, { nth })

const note = (id: string, content: Note['content']): Note => ({ id, content })

function comesAndGoes(log: ChangeBuilder<Note>, round: number): Change {
  return round % 3 === 0 ? log.delete('c') : log.put(note('c', round))
}

/** How events are delivered: again from somewhere, so many new ones, by the same process or another. */
const replays: fc.Arbitrary<{ from: number; count: number; other: boolean }[]> = fc.array(
  fc.record({ from: fc.nat(12), count: fc.nat(5), other: fc.boolean() }),
  { minLength: 1, maxLength: 6 },
)

async function onEvents(
  harness: EventSinkHarness,
  test: (trial: Trial, taken: () => Promise<readonly TakenEvent[]>) => void | Promise<void>,
): Promise<void> {
  let target: EventSinkTarget | undefined
  const states = asStates(harness, (opened) => (target = opened))
  await Trial.run(states, notes, async (trial) => test(trial, () => target!.taken()))
}

/** Of each key the same events in the same order; how keys mix is the sink's affair. */
function expectTaken(taken: readonly TakenEvent[], events: readonly Change[]): void {
  assert.deepEqual(storiesOf(taken), storiesOf(events), 'what was taken is not what was delivered')
}

function storiesOf(events: readonly TakenEvent[]): Map<string, string[]> {
  const stories = new Map<string, string[]>()
  for (const { key, kind, version, value } of events) {
    const told = `${version} ${kind} ${kind === 'delete' ? '' : canonicalJson(value)}`
    stories.set(key, [...(stories.get(key) ?? []), told])
  }
  return new Map([...stories].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
