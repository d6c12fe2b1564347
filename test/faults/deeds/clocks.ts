import { hold, type Deeds } from './deed.ts'

const secondMs = 1_000
const steps = [-3_600 * secondMs, 3_600 * secondMs, -5 * secondMs, 5 * secondMs, -400, 400]

export const clockDeeds: Deeds = {
  "set the server's clock wrong": {
    on: ['single'],
    async run({ clock }, random) {
      clock?.step(random.pick(steps))
      await hold(random, 300, 2_000)
      // Back at once, or from one wrong time to the next.
      if (random.chance(0.7)) clock?.step(0)
    },
  },
}
