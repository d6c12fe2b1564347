import { Command } from 'ioredis'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EncodedCommand } from '../../packages/core/src/redis/encoded-command.ts'

const texts = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme', minLength: 20, maxLength: 200 }),
  fc
    .tuple(fc.string({ unit: 'grapheme', maxLength: 3 }), fc.nat(120_000))
    .map(([text, times]) => text.repeat(times)),
)

const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))

describe('a command that we encode', () => {
  it('has the bytes that ioredis gives it, whatever its arguments', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(texts, fc.integer(), bytes), { maxLength: 20 }), (args) => {
        const ours = new EncodedCommand('evalsha', args).toWritable()
        const theirs = Buffer.from(new Command('evalsha', args).toWritable({}))
        expect(ours.equals(theirs)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})
