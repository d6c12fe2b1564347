import { describe, expect, it } from 'vitest'
import type { RawChange } from '../support/raw-log.ts'
import { checkHistory, type Evidence } from './check-history.ts'
import type { Attempt, HistoryOfAttempt, Told } from './history-file.ts'

const attempt = (id: string, rest: Partial<Attempt> = {}): Attempt => ({
  id,
  key: 'lamp',
  kind: 'put',
  expected: 'any',
  repeatable: false,
  ...rest,
})

const stored = (version: string, position: string, duplicate = false): Told => ({
  kind: 'stored',
  version,
  position,
  duplicate,
})

const change = (id: string, sequence: number, rest: Partial<RawChange> = {}): RawChange => ({
  collection: 'notes',
  schemaVersion: 1,
  key: 'lamp',
  kind: 'put',
  epoch: 1,
  sequence,
  version: sequence,
  payload: JSON.stringify({ content: id, id: 'lamp' }),
  metadata: { id },
  ...rest,
})

/** Two puts and a conflict, and everything as it should be. */
const sound = (): { -readonly [Part in keyof Evidence]: Evidence[Part] } => ({
  attempts: [
    { attempt: attempt('one'), told: [stored('1', '0:1-1')] },
    { attempt: attempt('two', { expected: '1' }), told: [stored('2', '0:1-2')] },
    { attempt: attempt('three', { expected: '1' }), told: [{ kind: 'conflict', actual: '2' }] },
  ],
  log: [[change('one', 1), change('two', 2)]],
  inherited: [new Map([[1, 0]])],
  sinks: new Map([['cache', new Map([['lamp', 'two']])]]),
  seen: [{ sink: 'cache', key: 'lamp', contents: [undefined, 'one', 'two'] }],
  terms: new Map([
    [
      'cache 0',
      [
        { server: 'a', token: 1 },
        { server: 'a', token: 2 },
      ],
    ],
  ]),
  audit: { wentBack: [], zombies: [] },
})

/** A fork: `two` was acknowledged and lost, `other` took its place in the next epoch. */
const forked = (): ReturnType<typeof sound> => ({
  ...sound(),
  attempts: [...sound().attempts, { attempt: attempt('other'), told: [stored('2@2', '0:2-2')] }],
  log: [[change('one', 1), change('other', 2, { epoch: 2 })]],
  inherited: [
    new Map([
      [1, 0],
      [2, 1],
    ]),
  ],
  sinks: new Map([['cache', new Map([['lamp', 'other']])]]),
  seen: [{ sink: 'cache', key: 'lamp', contents: ['one', 'two', 'other'] }],
})

const replaced = (attempts: readonly HistoryOfAttempt[], at: number, rest: Partial<HistoryOfAttempt>) =>
  attempts.map((of, index) => (index === at ? { ...of, ...rest } : of))

/** Every breach that is found, one a line. */
const breachesOf = (evidence: Parameters<typeof checkHistory>[0]): string =>
  checkHistory(evidence)
    .breaches.map(({ kind, what }) => `${kind}: ${what}`)
    .join('\n')

describe('the judge of histories', () => {
  it('finds nothing wrong with a sound one', () => {
    expect(checkHistory(sound())).toMatchObject({
      breaches: [],
      counts: { stored: 2, conflicts: 1, lost: 0 },
    })
  })

  it('counts what a fork lost, and finds nothing wrong when the new branch has won', () => {
    expect(checkHistory(forked())).toMatchObject({ breaches: [], counts: { lost: 1, orphans: 0 } })
  })

  it('counts keys that only the lost tail has touched', () => {
    const evidence = forked()
    evidence.attempts = [
      ...evidence.attempts,
      { attempt: attempt('gone', { key: 'chair' }), told: [stored('1', '0:1-3')] },
    ]
    evidence.sinks = new Map([
      [
        'cache',
        new Map([
          ['lamp', 'other'],
          ['chair', 'gone'],
        ]),
      ],
    ])
    expect(checkHistory(evidence)).toMatchObject({ breaches: [], counts: { lost: 2, orphans: 1 } })
  })

  it.each<[string, (evidence: ReturnType<typeof sound>) => void, string]>([
    [
      'an acknowledged change is missing',
      (of) => (of.log = [[change('one', 1)]]),
      'two was acknowledged at 0:1-2',
    ],
    [
      'a change is there twice',
      (of) => (of.log = [[...of.log[0]!, change('two', 3)]]),
      'two stands at sequence 2 too',
    ],
    ['a sequence is missing', (of) => (of.log = [[change('one', 1), change('two', 3)]]), 'place 2'],
    [
      'a version is missing',
      (of) => (of.log = [[change('one', 1), change('two', 2, { version: 3 })]]),
      'version 3 of lamp after 1',
    ],
    ['a change was never attempted', (of) => (of.attempts = of.attempts.slice(1)), 'one was never attempted'],
    [
      'a change is not what was attempted',
      (of) => (of.log = [[change('one', 1), change('two', 2, { payload: '{"content":"one"}' })]]),
      'two is not what was attempted',
    ],
    [
      'a refused change is there',
      (of) =>
        (of.attempts = replaced(of.attempts, 1, {
          told: [{ kind: 'refused', code: 'REDIS_UNAVAILABLE', why: 'gone' }],
        })),
      'two was refused, and is there',
    ],
    [
      'a refusal has no reason',
      (of) =>
        (of.attempts = replaced(of.attempts, 2, {
          told: [{ kind: 'refused', code: 'LOG_DAMAGED', why: 'damaged' }],
        })),
      'three was refused with LOG_DAMAGED',
    ],
    [
      'a retry was told something else',
      (of) =>
        (of.attempts = replaced(of.attempts, 1, {
          told: [stored('2', '0:1-2'), stored('3', '0:1-3', true)],
        })),
      'two was acknowledged at 0:1-2 and 0:1-3',
    ],
    [
      'a retry was stored anew',
      (of) =>
        (of.attempts = replaced(of.attempts, 1, { told: [stored('2', '0:1-2'), stored('2', '0:1-2')] })),
      'not called a duplicate',
    ],
    [
      'a version was told wrong',
      (of) => (of.attempts = replaced(of.attempts, 1, { told: [stored('7', '0:1-2')] })),
      'with version 7 instead of 2',
    ],
    [
      'an expectation did not hold',
      (of) => (of.attempts = replaced(of.attempts, 1, { attempt: attempt('two', { expected: 'absent' }) })),
      'two expected absent, and was stored on 1',
    ],
    [
      'a sink holds an older value',
      (of) => (of.sinks = new Map([['cache', new Map([['lamp', 'one']])]])),
      'cache holds one of lamp instead of two',
    ],
    [
      'a sink misses a key',
      (of) => (of.sinks = new Map([['cache', new Map()]])),
      'cache holds nothing of lamp',
    ],
    [
      'a sink holds what nobody wrote',
      (of) =>
        (of.sinks = new Map([
          [
            'cache',
            new Map([
              ['lamp', 'two'],
              ['ghost', 'boo'],
            ]),
          ],
        ])),
      'cache holds boo of ghost',
    ],
    [
      'a sink went back',
      (of) => (of.seen = [{ sink: 'cache', key: 'lamp', contents: ['two', 'one', 'two'] }]),
      'cache went back to one of lamp',
    ],
    [
      'an older token came after a newer one',
      (of) =>
        (of.terms = new Map([
          [
            'cache 0',
            [
              { server: 'a', token: 2 },
              { server: 'a', token: 1 },
            ],
          ],
        ])),
      'zombie: cache 0: token 1 after 2',
    ],
    [
      'a trigger saw an older fence',
      (of) => (of.audit = { wentBack: [], zombies: ['partition 0'] }),
      'zombie: table: partition 0',
    ],
    [
      'a trigger saw an older row',
      (of) => (of.audit = { wentBack: ['lamp'], zombies: [] }),
      'sink: table went back: lamp',
    ],
  ])('notices when %s', (_, spoil, says) => {
    const evidence = sound()
    spoil(evidence)
    expect(breachesOf(evidence)).toContain(says)
  })

  it.each<[string, (evidence: ReturnType<typeof sound>) => void, string]>([
    [
      'the sink kept the lost value where the new branch has one',
      (of) => (of.sinks = new Map([['cache', new Map([['lamp', 'two']])]])),
      'cache holds two of lamp instead of other',
    ],
    [
      'the sink went back to the lost branch',
      (of) => {
        of.attempts = [
          ...of.attempts,
          { attempt: attempt('later', { expected: '2@2' }), told: [stored('3@2', '0:2-3')] },
        ]
        of.log = [[...of.log[0]!, change('later', 3, { epoch: 2 })]]
        of.sinks = new Map([['cache', new Map([['lamp', 'later']])]])
        of.seen = [{ sink: 'cache', key: 'lamp', contents: ['later', 'two'] }]
      },
      'cache went back to two of lamp',
    ],
    [
      'a change of the lost tail is still in the log',
      (of) => (of.log = [[change('one', 1), change('two', 2)]]),
      'epoch 1 was lost here',
    ],
    [
      'something was lost that the new epoch inherited',
      (of) =>
        (of.inherited = [
          new Map([
            [1, 0],
            [2, 2],
          ]),
        ]),
      'two was acknowledged at 0:1-2, where other stands',
    ],
  ])('notices in a fork when %s', (_, spoil, says) => {
    const evidence = forked()
    spoil(evidence)
    expect(breachesOf(evidence)).toContain(says)
  })

  it('does not blame a sink that had a change of a lost tail, which its own retry then stored again behind another', () => {
    const evidence = {
      ...forked(),
      attempts: [
        { attempt: attempt('one'), told: [stored('1', '0:1-1')] },
        { attempt: attempt('other'), told: [stored('2@2', '0:2-2')] },
        { attempt: attempt('two'), told: [stored('3@2', '0:2-3')] },
      ],
      log: [[change('one', 1), change('other', 2, { epoch: 2 }), change('two', 3, { epoch: 2 })]],
      sinks: new Map([['cache', new Map([['lamp', 'two']])]]),
      seen: [{ sink: 'cache', key: 'lamp', contents: ['one', 'two', 'other', 'two'] }],
    }
    expect(checkHistory(evidence).breaches).toEqual([])
  })
})
