import { describe, expect, it } from 'vitest'
import { deeds } from './deeds/deeds.ts'
import { schedule, type ScheduleOptions } from './schedule.ts'

const options: ScheduleOptions = {
  seed: 7,
  deployment: 'single',
  count: 100,
  loses: false,
  pace: [10, 20],
}

const done = (loses: boolean) => schedule({ ...options, loses }).map(({ deed }) => deed)

describe('the schedule of a life', () => {
  it('is the same for the same seed, and another for another', () => {
    expect(schedule(options)).toEqual(schedule(options))
    expect(schedule(options)).not.toEqual(schedule({ ...options, seed: 8 }))
  })

  it('does everything that is possible once before anything again', () => {
    const possible = Object.values(deeds).filter(
      ({ on, loses }) => !loses && (on?.includes('single') ?? true),
    )
    const first = schedule(options).slice(0, possible.length)
    expect(new Set(first.map(({ deed }) => deed)).size).toBe(possible.length)
  })

  it('loses acknowledged changes only where that is wanted', () => {
    const losing = Object.entries(deeds).flatMap(([name, deed]) => (deed.loses ? [name] : []))
    expect(done(false)).not.toEqual(expect.arrayContaining(losing))
    expect(done(true)).toEqual(expect.arrayContaining(losing))
  })
})
