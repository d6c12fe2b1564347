import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Feature } from './feature.ts'

/** The releases of @mdn/browser-compat-data that the demo replays, oldest first. Each is an npm alias of ours. */
export const versions = ['4.0.0', '5.0.0', '5.5.0', '6.0.0', '7.0.0', '8.0.0'] as const

export type ReleaseVersion = (typeof versions)[number]

/** The features of one release by their dotted path. */
export type Release = ReadonlyMap<string, Feature>

const { resolve } = createRequire(import.meta.url)

/** Reads a release as it was published. Parses up to 19 MB of JSON. */
export function readRelease(version: ReleaseVersion): Release {
  const folder = dirname(resolve(`browser-compat-data-${version}`))
  return flattenRelease(JSON.parse(readFileSync(join(folder, 'data.json'), 'utf8')) as object)
}

// `browsers` describes browsers and `__meta` the package; everything else leads to features.
const noFeatures = new Set(['browsers', '__meta'])

/** Lays the published tree flat: every object with `__compat`, without the features that stand inside it. */
export function flattenRelease(tree: object): Release {
  const features = new Map<string, Feature>()
  for (const [name, branch] of Object.entries(tree)) {
    if (!noFeatures.has(name)) collect(name, branch as PublishedBranch, features)
  }
  return features
}

interface PublishedBranch {
  readonly __compat?: Feature['__compat']
  readonly [name: string]: unknown
}

function collect(path: string, branch: PublishedBranch, features: Map<string, Feature>): void {
  const { __compat, ...inside } = branch
  if (__compat !== undefined) features.set(path, { path, __compat })
  for (const [name, below] of Object.entries(inside))
    collect(`${path}.${name}`, below as PublishedBranch, features)
}
