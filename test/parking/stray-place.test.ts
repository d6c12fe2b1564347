import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { placeOfStray } from '../../packages/core/src/log/stray.ts'

const number = fc.integer({ min: 0, max: 1_000 })

it('a stray takes the place of nothing where the sequence goes on without it, whatever its ID', () => {
  fc.assert(
    fc.property(number, fc.string(), fc.boolean(), (sequence, id, atEnd) => {
      const next = atEnd ? undefined : { first: sequence + 1 }
      expect(placeOfStray({ epoch: 1, sequence }, id, next, sequence)).toBe('nothing')
    }),
  )
})

it('a damaged batch takes the place of changes only where the sequence goes on right behind its ID', () => {
  fc.assert(
    fc.property(number, number, number, fc.boolean(), (sequence, held, off, atEnd) => {
      const last = sequence + 1 + held
      const goesOnAt = last + 1 + off
      const next = atEnd ? undefined : { first: goesOnAt }
      const place = placeOfStray({ epoch: 1, sequence }, `1-${last}`, next, goesOnAt - 1)
      expect(place).toBe(off === 0 ? 'changes' : 'unknown')
    }),
  )
})

it('an entry with an ID of somebody else cannot have held changes', () => {
  expect(placeOfStray({ epoch: 1, sequence: 3 }, '1700000000000-0', undefined, 5)).toBe('unknown')
  expect(placeOfStray({ epoch: 2, sequence: 3 }, '1-5', undefined, 5)).toBe('unknown')
})
