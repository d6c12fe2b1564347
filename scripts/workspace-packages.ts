import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root folder of the workspace. */
export const root = fileURLToPath(new URL('../', import.meta.url))

type Versions = Readonly<Record<string, string>>

/** What the workspace's own programs read in a package.json. */
export interface Manifest {
  readonly name: string
  readonly version?: string
  readonly private?: boolean
  readonly type?: string
  readonly packageManager?: string
  readonly main?: string
  readonly engines?: Versions
  readonly exports?: Readonly<Record<string, string | Versions>>
  readonly publishConfig?: { readonly exports?: Readonly<Record<string, string | Versions>> }
  readonly scripts?: Versions
  readonly dependencies?: Versions
  readonly optionalDependencies?: Versions
  readonly peerDependencies?: Versions
  readonly devDependencies?: Versions
}

export interface WorkspacePackage {
  readonly folder: string
  readonly manifest: Manifest
}

/** The packages that users install. */
export function publishedPackages(): WorkspacePackage[] {
  return packagesIn('packages', 'packages/adapters')
}

/** The packages that only this workspace uses: tests, benchmarks, examples. */
export function privatePackages(): WorkspacePackage[] {
  return [...packagesIn('.').filter(({ manifest }) => manifest.private), ...packagesIn('examples')]
}

export function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
}

function packagesIn(...parents: string[]): WorkspacePackage[] {
  return parents
    .flatMap((parent) => readdirSync(join(root, parent)).map((name) => join(root, parent, name)))
    .filter((folder) => existsSync(join(folder, 'package.json')))
    .map((folder) => ({ folder, manifest: readManifest(folder) }))
}
