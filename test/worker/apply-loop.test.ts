import { describe, expect, it } from 'vitest'
import { ApplyLoop } from '../../packages/core/src/worker/apply-loop.ts'
import { Aside } from '../../packages/core/src/worker/aside.ts'
import { Dispatcher } from '../../packages/core/src/worker/dispatcher.ts'
import { HeldBack } from '../../packages/core/src/worker/held-back.ts'
import { Isolation } from '../../packages/core/src/worker/isolation.ts'
import { MarkerLooks } from '../../packages/core/src/worker/marker-looks.ts'
import { PartitionLife } from '../../packages/core/src/worker/partition-life.ts'
import { SinkTrouble } from '../../packages/core/src/worker/sink-trouble.ts'
import { Turns } from '../../packages/core/src/worker/turns.ts'

/** Of what a loop needs only when it has changes to take to the sink. */
const unused = undefined as never
/** More promises than there are between any two waits of the loop. */
const promisesMax = 32

function idleLoop(): { life: PartitionLife; loop: ApplyLoop } {
  const retry = { firstMs: 1, maxMs: 1 }
  const life = new PartitionLife(60_000, performance.now())
  const trouble = new SinkTrouble(retry)
  const turns = new Turns(life, trouble, { paused: false, concurrency: 1, changesPerSecond: undefined })
  const looks = new MarkerLooks(unused, life.changed)
  const dispatcher = new Dispatcher({
    collection: 'notes',
    coalesce: false,
    start: { epoch: 1, sequence: 0 },
    barriers: true,
  })
  const loop = new ApplyLoop({
    request: unused,
    lease: unused,
    limit: { changes: 10, bytes: 1_000 },
    observer: unused,
    retry,
    attemptsMax: 3,
    persist: unused,
    life,
    turns,
    isolation: new Isolation({ hand: undefined, deaths: 0, sequence: 0 }, 3),
    trouble,
    dispatcher,
    calls: unused,
    aside: new Aside(unused, []),
    heldBack: new HeldBack(() => {}),
    dropped: {},
    looks,
    look: () => looks.look(dispatcher, unused),
    stored: () => {},
  })
  return { life, loop }
}

async function promises(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await Promise.resolve()
}

/** Whether a loop ends that is stopped so many promises after it began, or was woken. */
async function endsWhenStopped(later: number, woken: boolean): Promise<boolean> {
  const { life, loop } = idleLoop()
  let ended = false
  void loop.run().then(() => (ended = true))
  if (woken) {
    await promises(promisesMax)
    life.changed.notify()
  }
  // Not by `promises`, whose own end is one more.
  for (let turn = 0; turn < later; turn++) await Promise.resolve()
  life.stop(1_000)
  await promises(promisesMax)
  return ended
}

describe('a partition with nothing to take to its sink', () => {
  // A stop between the look for a marker and the wait was missed once, and the lease renewed for ever.
  it.each([
    ['begins', false],
    ['is woken', true],
  ])('is handed over where it %s and is stopped any number of promises later', async (_, woken) => {
    const missed: number[] = []
    for (let later = 0; later < promisesMax; later++)
      if (!(await endsWhenStopped(later, woken))) missed.push(later)
    expect(missed).toEqual([])
  })
})
