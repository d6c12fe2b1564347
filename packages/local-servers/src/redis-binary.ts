import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheEntry } from './cache-entry.ts'
import { canFetchPackages, systemName, unpackPackage } from './debian-package.ts'
import { LocalServerError } from './local-server-error.ts'
import { findOnPath } from './search-path.ts'
import { libraryPath } from './unpacked-libraries.ts'

const run = promisify(execFile)

/** A program that serves as Redis, and what it needs to run. */
export interface RedisBinary {
  readonly path: string
  /** As it says itself, such as `Redis server v=7.0.15 …` or `Valkey server v=8.0.1 …`. */
  readonly version: string
  readonly env: Readonly<Record<string, string>>
}

const PROGRAMS = ['redis-server', 'valkey-server']

let found: Promise<RedisBinary> | undefined

/**
 * Finds a Redis server: `REDIS_SERVER_BIN`, else redis-server or valkey-server on PATH, else, on Debian and Ubuntu, the
 * package, unpacked in our cache. Throws `BINARY_NOT_FOUND` with what to install.
 */
export function findRedisBinary(): Promise<RedisBinary> {
  found ??= search().catch((error: unknown) => {
    found = undefined
    throw error
  })
  return found
}

async function search(): Promise<RedisBinary> {
  const chosen = process.env['REDIS_SERVER_BIN']
  if (chosen)
    return probe(chosen).catch((cause: unknown) =>
      notFound(`REDIS_SERVER_BIN is ${chosen}, which does not run`, cause),
    )
  for (const program of PROGRAMS) {
    const path = findOnPath(program)
    const binary = path && (await probe(path).catch(() => undefined))
    if (binary) return binary
  }
  if (!canFetchPackages()) return notFound('No redis-server or valkey-server that runs is on PATH')
  return fetchBinary().catch((cause: unknown) =>
    notFound('No redis-server or valkey-server that runs is on PATH, and apt could not fetch one', cause),
  )
}

async function probe(path: string, env: Record<string, string> = {}): Promise<RedisBinary> {
  const { stdout } = await run(path, ['--version'], { env: { ...process.env, ...env } })
  return { path, version: stdout.trim(), env }
}

async function fetchBinary(): Promise<RedisBinary> {
  const fetched = await cachedPackage()
  return probeUnpacked(fetched).catch(async () => {
    // It was fetched when more libraries were installed here, or by a container that shares this cache.
    rmSync(fetched, { recursive: true, force: true })
    return probeUnpacked(await cachedPackage())
  })
}

function cachedPackage(): Promise<string> {
  return cacheEntry(`redis-${systemName()}`, async (folder) => {
    await unpackPackage('redis-server', folder)
    await probeUnpacked(folder)
  })
}

function probeUnpacked(root: string): Promise<RedisBinary> {
  return probe(join(root, 'usr/bin/redis-server'), { LD_LIBRARY_PATH: libraryPath(root) })
}

function notFound(why: string, cause?: unknown): never {
  const detail = cause instanceof Error ? `: ${cause.message.trim()}` : ''
  throw new LocalServerError(
    'BINARY_NOT_FOUND',
    `${why}${detail}. Install one (brew install redis, apt install redis-server, dnf install redis or valkey), ` +
      'name its program in REDIS_SERVER_BIN, or set REDIS_URL to a server that runs.',
    { cause },
  )
}
