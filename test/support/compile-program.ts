import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

/** The JavaScript file of a program in `test/`, for processes of which many are started: they need no loader for TypeScript. */
export async function compileProgram(file: URL): Promise<string> {
  // Where it finds the same packages.
  const cache = join(root, 'node_modules', '.cache')
  mkdirSync(cache, { recursive: true })
  const outdir = mkdtempSync(join(cache, 'programs-'))
  process.once('exit', () => rmSync(outdir, { recursive: true, force: true }))
  const path = fileURLToPath(file)
  const { dependencies = {}, devDependencies = {} } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  ) as Record<string, Record<string, string> | undefined>
  await build({
    entryPoints: [path],
    outdir,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    conditions: ['@headwater/source'],
    external: Object.keys({ ...dependencies, ...devDependencies }).filter(
      (name) => !name.startsWith('@headwater/'),
    ),
  })
  return join(outdir, basename(path).replace(/\.ts$/, '.js'))
}
