import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** The folders with libraries below the root of an unpacked package, as `LD_LIBRARY_PATH` takes them. */
export function libraryPath(root: string): string {
  return ['usr/lib', 'lib'].flatMap((folder) => libraryFolders(join(root, folder), 2)).join(':')
}

/** Some libraries stand in a folder of their package's own, below that of the architecture. */
function libraryFolders(folder: string, levels: number): string[] {
  if (!existsSync(folder)) return []
  const entries = readdirSync(folder, { withFileTypes: true })
  const below = levels === 0 ? [] : entries.filter((entry) => entry.isDirectory())
  return [
    ...(entries.some(({ name }) => /\.so(?:\.|$)/.test(name)) ? [folder] : []),
    ...below.flatMap(({ name }) => libraryFolders(join(folder, name), levels - 1)),
  ]
}
