const worker = 'packages/core/src/worker'

/** What is wrong, in which file, what stands there, what is put in its place, and what is found then. */
export const plantedBugs: readonly (readonly [string, string, string, string, RegExp])[] = [
  [
    'two changes of a key at once',
    `${worker}/dispatcher.ts`,
    'if (queue.busy) return',
    'if (queue.waiting === 0) return',
    /at the sink at once|not finished/,
  ],
  [
    'a change that is taken for done when the sink refuses it',
    `${worker}/apply-loop.ts`,
    'this.#postpone(run, sinkFailed)',
    'dispatcher.settle(run)',
    /passed change/,
  ],
  [
    'a checkpoint that does not wait for what is in the middle',
    `${worker}/dispatcher.ts`,
    'works[this.#workHead]?.done !== false) this.#workHead++',
    'works[this.#workHead]) this.#workHead++',
    /passed change/,
  ],
  [
    'events that are left out for newer ones',
    `${worker}/dispatcher.ts`,
    'const newest = this.#coalesce && queue.alone === 0',
    'const newest = queue.alone === 0',
    /was applied before change/,
  ],
  [
    'a key that is never offered again',
    `${worker}/apply-loop.ts`,
    `        dispatcher.resume(run)
        life.changed.notify()
      },
      () => {},`,
    `        life.changed.notify()
      },
      () => {},`,
    /not finished/,
  ],
  [
    'a change that overtakes what is parked of its key',
    `${worker}/apply-loop.ts`,
    '(aside.has(field) ? parkedAlready : offered).push(run)',
    'offered.push(run)',
    /overtaken|was applied before change/,
  ],
  [
    'a reader that believes what is delivered to be all there is',
    `${worker}/partition-reader.ts`,
    'const header = await this.#header()\n    this.#checkHistory(header)\n    if (header.sequence',
    'const header = await this.#header()\n    if (header.sequence >= 0) return []\n    if (header.sequence',
    /not finished/,
  ],
  [
    'a reader that does not look for what is missing',
    'packages/core/src/log/continuity.ts',
    "if (first > last.sequence + 1) return { kind: 'gap', from: last.sequence + 1 }",
    "if (first > last.sequence + 1) return { kind: 'follows', skip: 0 }",
    /passed change|was applied before change/,
  ],
  [
    'a lease that a commit does not ask for',
    'test/simulation/script-models.ts',
    `  if (!isOwner(group, owner, token)) return 'fenced'
  if (group.get('checkpoint')`,
    "  if (group.get('checkpoint')",
    /had an effect in Redis/,
  ],
  [
    'a checkpoint that an attempt takes back which comes late',
    'test/simulation/script-models.ts',
    "  if (group.get('committer') === token && isLate) return 'committed'\n",
    '',
    /went back/,
  ],
  [
    'a sink that does not ask for the fence',
    'packages/core/src/sink/memory-sink.ts',
    'if (!isSame(ledger.fence, fence)) throw',
    'if (!fence) throw',
    /had an effect at the sink/,
  ],
  [
    'partitions that nobody claims',
    'packages/core/src/group/assignment.ts',
    'const odd = partitions % counts.size',
    'const odd = 0 * counts.size',
    /not finished|nobody took it over/,
  ],
  [
    'a life sign that is not taken back from the dead',
    'test/simulation/script-models.ts',
    'if (until <= nowMs) members.delete(member)',
    'if (until <= nowMs - 600_000) members.delete(member)',
    /not finished|nobody took it over/,
  ],
  [
    'a lease of a server with another clock, which keeps everybody out',
    'packages/core/src/group/membership.ts',
    'if (!(left > 0 && left <= leaseMs * 2)) return undefined',
    'if (left <= 0) return undefined',
    /not finished/,
  ],
  [
    'a claim that the sink has stored what it was never asked to',
    `${worker}/apply-loop.ts`,
    'if (refused === 0 && taken > 0)',
    'if (refused === 0)',
    /says that the sink has stored/,
  ],
  [
    'a claim that the sink has stored what it refused to',
    `${worker}/checkpointer.ts`,
    'this.#savesInVain = life.ending\n',
    'this.#savesInVain = life.ending\n      if (life.ending) this.#saved = saved\n',
    /says that the sink has stored/,
  ],
  [
    'a stop that is missed by whoever looks for a marker',
    `${worker}/apply-loop.ts`,
    'if (dispatcher.barrier || looks.again) {',
    'for (let turns = 0; turns < 8; turns++) await Promise.resolve()\n      if (dispatcher.barrier || looks.again) {',
    /not finished/,
  ],
  [
    'a change that counts as lost where an epoch begins behind it',
    'packages/core/src/log/header.ts',
    'if (epoch > stamp.epoch) survived = Math.min(survived, inherited)',
    'if (epoch > stamp.epoch) survived = Math.min(survived, Math.max(0, inherited - 1))',
    /count as lost/,
  ],
]
