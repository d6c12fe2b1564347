import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const LOCK_STALE_MS = 120_000
const LOCK_POLL_MS = 50

/**
 * The folder `name` in the cache, made once by `make`, which fills the folder it is given. It appears whole or not at
 * all, also when several processes make it at once or one is killed.
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
    const draft = mkdtempSync(`${entry}.`)
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

/** `XDG_CACHE_HOME` or `~/.cache`, and where neither can be written, a folder of this user's own in the temporary folder. */
export function cacheFolder(): string {
  const home = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'headwater')
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 })
    accessSync(home, constants.W_OK | constants.X_OK)
    return home
  } catch {
    return ownFolder(join(tmpdir(), `headwater-cache-${process.getuid?.() ?? 'user'}`), 0o700)
  }
}

/** A folder that nobody else can have put there or can write to. Throws when somebody did. */
export function ownFolder(path: string, mode: number): string {
  mkdirSync(path, { recursive: true, mode })
  const stat = lstatSync(path)
  if (!stat.isDirectory() || stat.uid !== process.getuid?.() || (stat.mode & 0o022) !== 0) {
    throw new Error(
      `${path} belongs to somebody else, or others can write to it. Remove it, or set XDG_CACHE_HOME.`,
    )
  }
  return path
}

// The rename keeps entries whole; this lock only spares others the same work, so a stale one may be broken by two.
async function lock(path: string): Promise<() => void> {
  mkdirSync(dirname(path), { recursive: true })
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' })
      return () => rmSync(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    if (isStale(path)) rmSync(path, { force: true })
    else await delay(LOCK_POLL_MS)
  }
}

function isStale(path: string): boolean {
  try {
    if (Date.now() - statSync(path).mtimeMs > LOCK_STALE_MS) return true
    const holder = Number(readFileSync(path, 'utf8'))
    if (!Number.isInteger(holder) || holder <= 0) return false
    process.kill(holder, 0)
    return false
  } catch (error) {
    // ESRCH: the holder is dead. ENOENT: it has just finished. EPERM: it lives, as another user.
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
