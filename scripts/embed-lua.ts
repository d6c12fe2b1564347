// Writes `append.lua.ts` beside each `append.lua`, so that neither a tarball nor a bundler can lose a script.
// With --check it writes nothing and fails when one is stale.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { publishedPackages, root } from './workspace-packages.ts'

/** A module that has to be written, or removed when its script is gone. */
interface StaleModule {
  readonly path: string
  readonly text: string | undefined
}

const stale = publishedPackages().flatMap(({ folder }) => staleModules(join(folder, 'src')))

if (process.argv.includes('--check')) {
  for (const { path } of stale) console.error(`${relative(root, path)} is stale: run \`pnpm generate\`.`)
  process.exitCode = stale.length > 0 ? 1 : 0
} else {
  for (const { path, text } of stale) {
    if (text === undefined) rmSync(path)
    else writeFileSync(path, text)
    console.log(`${text === undefined ? 'removed' : 'wrote'} ${relative(root, path)}`)
  }
}

function staleModules(source: string): StaleModule[] {
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).map((name) => join(source, name))
  const missingOrOld = files
    .filter((path) => path.endsWith('.lua'))
    .map((script) => ({ path: `${script}.ts`, text: moduleOf(script) }))
    .filter(({ path, text }) => !existsSync(path) || readFileSync(path, 'utf8') !== text)
  const orphans = files
    .filter((path) => path.endsWith('.lua.ts') && !existsSync(path.slice(0, -'.ts'.length)))
    .map((path) => ({ path, text: undefined }))
  return [...missingOrOld, ...orphans]
}

function moduleOf(script: string): string {
  const literal = readFileSync(script, 'utf8').replaceAll(/[\\`]|\$\{/g, (special) => `\\${special}`)
  return `// Generated from ${basename(script)} by \`pnpm generate\`: do not edit.\nexport const source: string = \`${literal}\`\n`
}
