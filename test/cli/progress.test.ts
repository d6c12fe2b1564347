import type { WriteStream } from 'node:tty'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Output, timeLeft } from '../../packages/cli/src/output.ts'
import { partitionShare } from '../../packages/cli/src/partition-share.ts'

/** A stream that keeps what is written to it. */
function streamOf(written: string[], terminal: boolean): WriteStream {
  const stream = { isTTY: terminal, columns: 50, write: (text: string) => written.push(text) > 0 }
  return stream as unknown as WriteStream
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

describe('progress', () => {
  it('is a bar and a text on one line of a terminal, no longer than it is wide', () => {
    const written: string[] = []
    const output = new Output(false, streamOf([], true), streamOf(written, true))
    vi.advanceTimersByTime(1_000)
    output.progress(() => '12,000 keys compared, 36 s left', 0.25)
    vi.advanceTimersByTime(1_000)
    output.progress(() => 'x'.repeat(100), 1)
    vi.advanceTimersByTime(1_000)
    output.progress(() => 'no idea how many')
    output.note('done')
    expect(written).toEqual([
      '\r\u001B[K[#####---------------] 12,000 keys compared, 36 s',
      `\r\u001B[K[####################] ${'x'.repeat(26)}`,
      '\r\u001B[Kno idea how many',
      '\r\u001B[K',
      'done\n',
    ])
  })

  it('is a plain line now and then elsewhere', () => {
    const written: string[] = []
    const output = new Output(false, streamOf([], false), streamOf(written, false))
    for (let second = 0; second < 12; second++) {
      vi.advanceTimersByTime(1_000)
      output.progress(() => `${second} keys`, second / 12)
    }
    expect(written).toEqual(['4 keys\n', '9 keys\n'])
  })

  it('tells how long the rest takes, once something is done', () => {
    const began = performance.now()
    vi.advanceTimersByTime(30_000)
    expect([0, 0.25, 0.5, 1].map((share) => timeLeft(began, share))).toEqual([
      '',
      ', 1 min 30 s left',
      ', 30 s left',
      '',
    ])
  })

  it('partition by partition grows with every step, from 0 to 1', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 40 }), (partitions, step) => {
        let done = 0
        for (const [partition, size] of partitions.entries()) {
          let before = -1
          for (let left = size; left >= 0; left = left === 0 ? -1 : Math.max(0, left - step)) {
            const share = partitionShare(partition, partitions.length, done + size - left, left)
            expect(share).toBeGreaterThan(before)
            expect(share).toBeLessThanOrEqual(1)
            before = share
          }
          done += size
        }
        expect(partitionShare(partitions.length - 1, partitions.length, done, 0)).toBe(1)
      }),
    )
  })
})
