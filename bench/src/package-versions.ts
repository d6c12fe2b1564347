import { readFileSync } from 'node:fs'
import type { System } from './system.ts'

/** Of the npm packages that these systems use. */
export function packageVersions(systems: readonly System[]): Record<string, string> {
  const names = new Set(systems.flatMap(({ packages }) => packages))
  return Object.fromEntries([...names].map((name) => [name, installedVersion(name)]))
}

function installedVersion(name: string): string {
  const manifest = new URL(`../node_modules/${name}/package.json`, import.meta.url)
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version
}
