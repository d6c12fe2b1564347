import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  type Manifest,
  privatePackages,
  publishedPackages,
  readManifest,
  root,
} from '../scripts/workspace-packages.ts'

const published = publishedPackages().map(({ manifest }) => manifest)
const workspace = readManifest(root)
const { packageManager, scripts = {} } = workspace
const supportedRedisClients = '^5.11.0 || ^6.0.0'
const lockfile = readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8')

describe.each(published)('$name', (manifest) => {
  it('is an ES module, from its source in the workspace and from dist when published', () => {
    expect(manifest.type).toBe('module')
    expect(manifest.main).toBeUndefined()
    expect(manifest.exports).toEqual({
      '.': {
        '@headwater/source': './src/index.ts',
        types: './dist/index.d.ts',
        default: './dist/index.js',
      },
      './package.json': './package.json',
    })
    expect(manifest.publishConfig?.exports).toEqual({
      '.': { types: './dist/index.d.ts', default: './dist/index.js' },
      './package.json': './package.json',
    })
  })

  it('leaves the clients to its user, and is tested with each of them', () => {
    const clients = /^(ioredis|zod|pg|bullmq|@opentelemetry\/api)$/
    const brought = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })
    expect(brought.filter((name) => clients.test(name))).toEqual([])
    const tests = readManifest(join(root, 'test'))
    const peers = Object.keys(manifest.peerDependencies ?? {})
    expect(Object.keys(installed(tests))).toEqual(expect.arrayContaining(peers))
  })

  it('takes every ioredis that Headwater supports', () => {
    expect(manifest.peerDependencies?.['ioredis'] ?? supportedRedisClients).toBe(supportedRedisClients)
  })
})

describe('the workspace', () => {
  const manifests = [...published, ...privatePackages().map(({ manifest }) => manifest)]

  it('runs on Node 20.19 and later', () => {
    expect([workspace, ...manifests].filter(({ engines }) => engines?.['node'] !== '>=20.19.0')).toEqual([])
  })

  it('keeps its versions in the catalog', () => {
    const outside = [workspace, ...manifests].flatMap((manifest) =>
      Object.entries(installed(manifest))
        .filter(([, version]) => !/^(catalog:$|workspace:|npm:.+@\d+\.\d+\.\d+$)/.test(version))
        .map(([name, version]) => `${manifest.name}: ${name} ${version}`),
    )
    expect(outside).toEqual([])
  })

  it('has one ioredis, the one that its user brings', () => {
    expect(new Set(lockfile.match(/(?<=^ {2}ioredis@)[\d.]+/gm)).size).toBe(1)
  })

  it('names no registry in its lockfile', () => {
    expect(lockfile.match(/\w+:\/\/\S+|\btarball:.*/g)).toBeNull()
  })

  it('gives no root script the name of a pnpm command, which would run instead', () => {
    const help = execFileSync('npx', ['-y', `${packageManager}`, 'help', '--all'], {
      cwd: root,
      encoding: 'utf8',
    })
    const commands = [...help.matchAll(/^ {2}([a-z-]+) {2,}.*?(?:\[alias(?:es)?: (.+)\])?$/gm)].flatMap(
      ([, command, aliases]) => [command, ...(aliases?.split(', ') ?? [])],
    )
    expect(commands).toEqual(expect.arrayContaining(['docs', 'doctor', 'run', 'i', 'ls']))
    // `pnpm test` runs the script `test`.
    const shadowed = Object.keys(scripts).filter((name) => name !== 'test' && commands.includes(name))
    expect(shadowed).toEqual([])
  })
})

describe('the conformance kit', () => {
  const adapters = publishedPackages().filter(({ folder }) => basename(dirname(folder)) === 'adapters')

  it.each(adapters)('fails for an adapter without a conformance file: $manifest.name', ({ folder }) => {
    const file = join(root, 'test/conformance', `${basename(folder)}.test.ts`)
    expect(readFileSync(file, 'utf8')).toMatch(/\b(?:sink|eventSink)Conformance\(/)
  })
})

function installed({
  dependencies,
  optionalDependencies,
  devDependencies,
}: Manifest): Record<string, string> {
  return { ...dependencies, ...optionalDependencies, ...devDependencies }
}
