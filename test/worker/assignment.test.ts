import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assign, type GroupView } from '../../packages/core/src/group/assignment.ts'
import { givenSeed } from '../support/seed.ts'

/** Who owns what; the names may be of workers that are gone. */
type Owners = readonly (string | undefined)[]

const members: fc.Arbitrary<string[]> = fc.uniqueArray(
  fc.constantFrom('ant', 'bee', 'cat', 'dog', 'emu', 'fox'),
  { minLength: 1 },
)
const owners: fc.Arbitrary<(string | undefined)[]> = fc.array(
  fc.constantFrom(undefined, 'ant', 'bee', 'cat', 'dog', 'emu', 'fox', 'gone'),
  {
    maxLength: 40,
  },
)
const parameters = givenSeed === undefined ? {} : { seed: givenSeed }

const viewsOf = (names: readonly string[], owners: Owners): GroupView[] =>
  names.map((me) => ({ me, members: names, owners }))

describe('sharing the partitions of a group', () => {
  it('asks only for what is free, and gives only what is its own', () => {
    fc.assert(
      fc.property(members, owners, (members, owners) => {
        for (const view of viewsOf(members, owners)) {
          const { claim, release } = assign(view)
          expect(claim.filter((partition) => owners[partition] !== undefined)).toEqual([])
          expect(release.filter((partition) => owners[partition] !== view.me)).toEqual([])
          expect(claim.length === 0 || release.length === 0).toBe(true)
        }
      }),
      parameters,
    )
  })

  it('lets no two workers with the same view ask for the same partition', () => {
    fc.assert(
      fc.property(members, owners, (members, owners) => {
        const claims = viewsOf(members, owners).flatMap((view) => assign(view).claim)
        expect(new Set(claims).size).toBe(claims.length)
      }),
      parameters,
    )
  })

  it('moves nothing where everybody has an even share', () => {
    fc.assert(
      fc.property(members, fc.nat(40), fc.infiniteStream(fc.nat(39)), (members, count, swaps) => {
        const owners = Array.from({ length: count }, (_, partition) => members[partition % members.length]!)
        // Any order of the same even shares.
        for (let at = count - 1; at > 0; at--) {
          const other = swaps.next().value % (at + 1)
          ;[owners[at], owners[other]] = [owners[other]!, owners[at]!]
        }
        for (const view of viewsOf(members, owners)) expect(assign(view)).toEqual({ claim: [], release: [] })
      }),
      parameters,
    )
  })

  it('comes to even shares in one handover, and takes away from nobody more than is above its share', () => {
    fc.assert(
      fc.property(members, owners, (members, before) => {
        const gone = (owner: string | undefined) => owner !== undefined && !members.includes(owner)
        const released = before.map((owner) => (gone(owner) ? undefined : owner))
        const given: Owners[] = []
        for (const view of viewsOf(members, released)) {
          const { release } = assign(view)
          given.push(release.map(String))
          for (const partition of release) released[partition] = undefined
        }
        const after = [...released]
        for (const view of viewsOf(members, released)) {
          for (const partition of assign(view).claim) after[partition] = view.me
        }
        const counts = members.map((member) => after.filter((owner) => owner === member).length)
        expect(after.filter((owner) => owner === undefined)).toEqual([])
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
        const share = Math.floor(before.length / members.length)
        for (const [at, member] of members.entries()) {
          const had = before.filter((owner) => owner === member).length
          expect(given[at]!.length).toBeLessThanOrEqual(Math.max(0, had - share))
        }
      }),
      parameters,
    )
  })

  it('waits for leases of workers that are gone, and never hands them out', () => {
    fc.assert(
      fc.property(members, owners, (members, owners) => {
        const claims = viewsOf(members, owners).flatMap((view) => assign(view).claim)
        expect(claims.filter((partition) => owners[partition] === 'gone')).toEqual([])
      }),
      parameters,
    )
  })
})
