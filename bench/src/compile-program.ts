import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

let compiled: Promise<string> | undefined

/**
 * The JavaScript file of a program in `bench/`. Processes that are measured run without a loader for TypeScript, as those
 * of users do: it would take its part of the time and the memory.
 */
export async function compileProgram(name: string): Promise<string> {
  compiled ??= compilePrograms()
  return join(await compiled, `${name}.js`)
}

async function compilePrograms(): Promise<string> {
  // Where it finds the same packages.
  const cache = join(root, 'node_modules', '.cache')
  mkdirSync(cache, { recursive: true })
  const outdir = mkdtempSync(join(cache, 'programs-'))
  process.once('exit', () => rmSync(outdir, { recursive: true, force: true }))
  await build({
    entryPoints: ['producer-process', 'consumer-process', 'parse-process'].map((name) =>
      join(root, `${name}.ts`),
    ),
    outdir,
    bundle: true,
    splitting: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    conditions: ['@headwater/source'],
    external: packages().filter((name) => !name.startsWith('@headwater/')),
  })
  return outdir
}

function packages(): string[] {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    devDependencies: Record<string, string>
  }
  return Object.keys(manifest.devDependencies)
}
