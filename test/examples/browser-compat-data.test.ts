import { canonicalJson } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { type Feature, features } from '../../examples/browser-compat/feature.ts'
import { compareWithRelease, type ReplicaRow } from '../../examples/browser-compat/oracle.ts'
import { type FeatureChange, diffReleases } from '../../examples/browser-compat/release-diff.ts'
import { type Release, flattenRelease, readRelease, versions } from '../../examples/browser-compat/release.ts'

const compat = (added: string) => ({ support: { firefox: { version_added: added } } })
const feature = (path: string, added: string): Feature => ({ path, __compat: compat(added) })
const release = (...features: Feature[]): Release => new Map(features.map((each) => [each.path, each]))
async function* dump(...rows: Feature[]): AsyncGenerator<ReplicaRow> {
  for (const value of rows) yield { path: value.path, value }
}

describe('a published release', () => {
  it('is every object with __compat by its dotted path, without the features inside it', () => {
    const tree = {
      __meta: { version: '0.0.0' },
      browsers: { firefox: { __compat: compat('1') } },
      api: {
        Lamp: {
          __compat: compat('2'),
          on: { __compat: compat('3') },
          group: { off: { __compat: compat('4') } },
        },
      },
    }

    expect([...flattenRelease(tree).values()]).toEqual([
      feature('api.Lamp', '2'),
      feature('api.Lamp.on', '3'),
      feature('api.Lamp.group.off', '4'),
    ])
  })
})

describe('the six releases', () => {
  it('make 72,050 changes, 60 MB of canonical JSON and 19,752 live features', async () => {
    const count: Record<FeatureChange['kind'], number> = { create: 0, update: 0, delete: 0 }
    let bytes = 0
    let latest: Release = new Map()
    for (const version of versions) {
      const next = readRelease(version)
      for (const change of await diffReleases(latest, next)) {
        count[change.kind]++
        if (change.kind === 'delete') continue
        const { path: _, ...published } = change.feature
        bytes += Buffer.byteLength(canonicalJson(published))
      }
      latest = next
    }

    expect(count).toEqual({ create: 22_771, update: 46_260, delete: 3_019 })
    expect(count.create + count.update + count.delete).toBe(72_050)
    expect(latest.size).toBe(19_752)
    expect(bytes).toBe(60_530_948)
  })

  it('hold only features that their collection takes', async () => {
    for (const version of versions) {
      for (const published of readRelease(version).values()) {
        const { issues } = await features.schema['~standard'].validate(published)
        expect(issues).toBeUndefined()
      }
    }
  })
})

describe('the oracle', () => {
  const published = release(feature('a', '1'), feature('b', '2'), feature('c', '3'))

  it('finds a replica equal that holds the same features, in any order and even if it shows one twice', async () => {
    const replica = dump(feature('c', '3'), feature('a', '1'), feature('b', '2'), feature('a', '1'))

    expect(await compareWithRelease(published, replica)).toMatchObject({ equal: true, compared: 3 })
  })

  it('names what is missing, foreign and different', async () => {
    const replica = dump(feature('a', '1'), feature('b', '9'), feature('z', '1'))

    expect(await compareWithRelease(published, replica)).toEqual({
      equal: false,
      compared: 3,
      missing: ['c'],
      foreign: ['z'],
      different: ['b'],
    })
  })
})
