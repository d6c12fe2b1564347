import { execFile } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheEntry } from './cache-entry.ts'
import { canFetchPackages, systemName, unpackPackage } from './debian-package.ts'
import { LocalServerError } from './local-server-error.ts'
import { findOnPath } from './search-path.ts'
import { libraryPath } from './unpacked-libraries.ts'

const run = promisify(execFile)

/** A browser that runs here without a screen, and what it needs to run. */
export interface ChromiumBinary {
  readonly path: string
  readonly env: Readonly<Record<string, string>>
}

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome']

/**
 * Finds a browser for tests: `CHROMIUM_BIN`, else Chromium or Chrome on PATH, else, on Debian, its package and the
 * libraries that are missing here, unpacked in our cache (400 MB). Throws `BINARY_NOT_FOUND` with what to install.
 */
export async function findChromium(): Promise<ChromiumBinary> {
  const chosen = process.env['CHROMIUM_BIN']
  if (chosen) {
    return probe({ path: chosen, env: {} }).catch((cause: unknown) =>
      notFound(`CHROMIUM_BIN is ${chosen}, which does not run`, cause),
    )
  }
  for (const program of PROGRAMS) {
    const path = findOnPath(program)
    const binary = path && (await probe({ path, env: {} }).catch(() => undefined))
    if (binary) return binary
  }
  if (!canFetchPackages()) return notFound('No Chromium that runs is on PATH')
  return fetchChromium().catch((cause: unknown) =>
    notFound('No Chromium that runs is on PATH, and apt could not fetch it', cause),
  )
}

/** A page, and not only the version: some libraries are loaded later. */
async function probe(binary: ChromiumBinary): Promise<ChromiumBinary> {
  const args = ['--headless', '--no-sandbox', '--disable-gpu', '--dump-dom', 'data:text/html,<p>it runs</p>']
  const { stdout } = await run(binary.path, args, { env: { ...process.env, ...binary.env }, timeout: 30_000 })
  if (!stdout.includes('it runs')) throw new Error(`It shows no page: ${stdout.slice(0, 200)}`)
  return binary
}

async function fetchChromium(): Promise<ChromiumBinary> {
  const fetched = await cachedPackage()
  return probe(unpacked(fetched)).catch(async () => {
    // It was fetched when more libraries were installed here.
    rmSync(fetched, { recursive: true, force: true })
    return probe(unpacked(await cachedPackage()))
  })
}

function cachedPackage(): Promise<string> {
  return cacheEntry(`chromium-${systemName()}`, async (folder) => {
    await unpackPackage('chromium', folder)
    // Relative: the folder gets another name when it is complete.
    writeFileSync(
      join(folder, 'fonts.conf'),
      '<fontconfig><dir prefix="relative">usr/share/fonts</dir></fontconfig>\n',
    )
    await probe(unpacked(folder))
  })
}

function unpacked(root: string): ChromiumBinary {
  return {
    path: join(root, 'usr/lib/chromium/chromium'),
    env: {
      LD_LIBRARY_PATH: libraryPath(root),
      ...(!existsSync('/etc/fonts/fonts.conf') && { FONTCONFIG_FILE: join(root, 'fonts.conf') }),
    },
  }
}

function notFound(why: string, cause?: unknown): never {
  const detail = cause instanceof Error ? `: ${cause.message.trim()}` : ''
  throw new LocalServerError(
    'BINARY_NOT_FOUND',
    `${why}${detail}. Install one (apt install chromium, brew install --cask chromium), or name its program in CHROMIUM_BIN.`,
    { cause },
  )
}
