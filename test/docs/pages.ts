import { readdirSync } from 'node:fs'
import { root } from './code-blocks.ts'

const folders = ['docs', 'docs/decisions', 'packages', 'packages/adapters', 'examples']
const found = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...folders.flatMap((folder) =>
    readdirSync(`${root}${folder}`, { withFileTypes: true }).flatMap((entry) => {
      if (entry.isFile() && entry.name.endsWith('.md')) return [`${folder}/${entry.name}`]
      if (!entry.isDirectory()) return []
      const inside = readdirSync(`${root}${folder}/${entry.name}`)
      return inside.filter((name) => name.endsWith('.md')).map((name) => `${folder}/${entry.name}/${name}`)
    }),
  ),
]

/** Every page of the documentation, from the root of the project. */
export const pages: readonly string[] = [...new Set(found)]
