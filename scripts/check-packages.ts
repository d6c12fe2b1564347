// Proves what users get: packs every package, installs the tarballs in an empty project, and appends there, plainly
// with node and after a bundler.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { publishedPackages, readManifest, root } from './workspace-packages.ts'

const packages = publishedPackages()
const folder = mkdtempSync(join(tmpdir(), 'headwater-packed-'))
try {
  buildFromScratch()
  const tarballs = pack(join(folder, 'tarballs'))
  const project = installedProject(tarballs)
  run(join(root, 'node_modules/.bin/tsc'), ['--project', project], project)
  const bundle = await bundled(join(project, 'append.js'))
  run('node', ['with-redis.js', 'append.js', 'command.js', bundle], project)
  run('node', ['started.js', startedProject(project, tarballs)], project)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** Without the outputs of sources that are gone: `tsc -b` leaves them where they are. */
function buildFromScratch(): void {
  for (const { folder } of packages) rmSync(join(folder, 'dist'), { recursive: true, force: true })
  run('tsc', ['-b'], root)
}

function pack(destination: string): string[] {
  mkdirSync(destination)
  for (const { folder } of packages)
    run('pnpm', ['--silent', 'pack', '--pack-destination', destination], folder)
  const tarballs = readdirSync(destination).map((name) => join(destination, name))
  for (const tarball of tarballs) run('publint', ['run', tarball, '--strict'], root)
  return tarballs
}

/** An empty project with the tarballs, and the clients that a user brings in the versions that we test. */
function installedProject(tarballs: readonly string[]): string {
  const project = join(folder, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  const clients = ['ioredis', 'zod', '@opentelemetry/api', 'pg', 'bullmq', '@types/node', '@types/pg'].map(
    (name) => `${name}@${readManifest(join(root, 'test/node_modules', name)).version}`,
  )
  run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', ...tarballs, ...clients], project)
  assertOneRedisClient(project)
  cpSync(join(root, 'test/packed-project'), project, { recursive: true })
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: { target: 'es2023', module: 'nodenext', strict: true, types: ['node'] },
    }),
  )
  return project
}

/** What `headwater init` writes, installed and type-checked; of our packages the tarballs, because no registry has them yet. */
function startedProject(project: string, tarballs: readonly string[]): string {
  const started = join(folder, 'started')
  run('npx', ['--no-install', 'headwater', 'init', started], project)
  run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', ...tarballs], started)
  run('npm', ['run', 'check'], started)
  return started
}

/** A second ioredis would break `instanceof`, and connect with options of its own. */
function assertOneRedisClient(project: string): void {
  const lock = readFileSync(join(project, 'package-lock.json'), 'utf8')
  const copies = lock.match(/"[^"]*node_modules\/ioredis"(?=: \{)/g)
  if (copies?.length !== 1) throw new Error(`Users would get more than one ioredis: ${copies?.join(', ')}.`)
}

/** The program with everything that it imports in one file, in a folder where nothing else can be found. */
async function bundled(program: string): Promise<string> {
  const outfile = join(folder, 'bundle', 'append.js')
  await build({
    entryPoints: [program],
    outfile,
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    // ioredis is CommonJS: in an ES module its `require` calls need one.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  })
  writeFileSync(join(folder, 'bundle', 'package.json'), JSON.stringify({ type: 'module' }))
  return outfile
}

function run(program: string, args: readonly string[], cwd: string): void {
  console.log(`$ ${program} ${args.join(' ')}`)
  execFileSync(program, args, { cwd, stdio: 'inherit' })
}
