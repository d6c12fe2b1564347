import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface BuiltHeadwater {
  /** For `program` of a call. */
  readonly program: readonly string[]
  remove(): void
}

/**
 * The program as JavaScript: it begins four times sooner than from its sources, and what it does in
 * an odd environment is not what a loader for TypeScript does there. Its config cannot be TypeScript.
 */
export async function builtHeadwater(): Promise<BuiltHeadwater> {
  // Where it finds the packages that stay outside.
  const cache = join(root, 'test', 'node_modules', '.cache')
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, 'headwater-'))
  const cli = join(root, 'packages', 'cli')
  for (const part of ['package.json', 'project'])
    cpSync(join(cli, part), join(folder, part), { recursive: true })
  await build({
    // The second reads files beside it.
    entryPoints: ['main.ts', 'commands/init.ts'].map((name) => join(cli, 'src', name)),
    outdir: join(folder, 'dist'),
    bundle: true,
    splitting: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    conditions: ['@headwater/source'],
    external: ['ioredis', 'jiti', '@headwater/local-servers'],
    // For what is CommonJS in the bundle.
    banner: {
      js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url)",
    },
  })
  return {
    program: [process.execPath, join(folder, 'dist', 'main.js')],
    remove: () => rmSync(folder, { recursive: true }),
  }
}
