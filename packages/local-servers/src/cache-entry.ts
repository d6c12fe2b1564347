import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { LocalServerError } from './local-server-error.ts'

const LOCK_STALE_MS = 120_000
const LOCK_POLL_MS = 50

/**
 * The folder `name` in the cache, made once by `make`, which fills the folder it is given. It appears whole or not at
 * all, also when several processes make it at once or one of them is killed.
 */
export async function cacheEntry(
  name: string,
  make: (folder: string) => Promise<void>,
  cache: string = cacheFolder(),
): Promise<string> {
  const entry = join(cache, name)
  if (existsSync(entry)) return entry
  const unlock = await lock(`${entry}.lock`)
  try {
    if (existsSync(entry)) return entry
    removeDraftsOfTheDead(entry)
    const draft = `${entry}.${process.pid}`
    mkdirSync(draft, { mode: 0o700 })
    try {
      await make(draft)
      renameSync(draft, entry)
    } finally {
      rmSync(draft, { recursive: true, force: true })
    }
    return entry
  } finally {
    unlock()
  }
}

/**
 * A folder that nobody else can have put there or can write to. Throws `CACHE_NOT_OURS` when somebody did.
 */
export function ownFolder(path: string, mode: number): string {
  mkdirSync(path, { recursive: true, mode })
  const stat = lstatSync(path)
  if (!stat.isDirectory() || stat.uid !== process.getuid?.() || (stat.mode & 0o022) !== 0) {
    throw new LocalServerError(
      'CACHE_NOT_OURS',
      `${path} belongs to somebody else, or others can write to it. Remove it, or set XDG_CACHE_HOME.`,
    )
  }
  return path
}

// XDG_CACHE_HOME or ~/.cache, and where neither can be written, a folder of this user's own in the temporary folder.
function cacheFolder(): string {
  // The specification of these variables has paths passed over that are not absolute.
  const given = process.env['XDG_CACHE_HOME'] ?? ''
  const home = join(isAbsolute(given) ? given : join(homedir(), '.cache'), 'headwater')
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 })
    accessSync(home, constants.W_OK | constants.X_OK)
    return home
  } catch {
    return ownFolder(join(tmpdir(), `headwater-cache-${process.getuid?.() ?? 'user'}`), 0o700)
  }
}

// This lock spares others the same work, and the same draft. Who holds it for too long is taken for dead.
async function lock(path: string): Promise<() => void> {
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' })
      return () => rmSync(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    if (isAbandoned(path)) rmSync(path, { force: true })
    else await delay(LOCK_POLL_MS)
  }
}

function isAbandoned(lock: string): boolean {
  try {
    if (Date.now() - statSync(lock).mtimeMs > LOCK_STALE_MS) return true
    const holder = readFileSync(lock, 'utf8')
    // Empty for the moment between making the file and writing it.
    return holder !== '' && !isAlive(Number(holder))
  } catch {
    // It has just been released.
    return false
  }
}

function removeDraftsOfTheDead(entry: string): void {
  const prefix = `${basename(entry)}.`
  for (const name of readdirSync(dirname(entry))) {
    const maker = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : NaN
    if (Number.isInteger(maker) && !isAlive(maker))
      rmSync(join(dirname(entry), name), { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
