import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

// A keeper's folder holds one folder per server; these are the files in it by which the remains of a server are
// found when nobody is left who remembers it.
export const PROCESS_FILE = 'process'
export const POSTGRES_DATA = 'data'

/**
 * Ends every process recorded in a keeper's folder, frees its shared memory and removes the folder. Several may do so at
 * once.
 */
export async function removeRemains(keeperFolder: string): Promise<void> {
  await Promise.all(serverFolders(keeperFolder).map(removeServerRemains))
  removeFolder(keeperFolder)
}

/** The same for the folder of a single server. */
export async function removeServerRemains(folder: string): Promise<void> {
  await killRecordedProcess(join(folder, PROCESS_FILE))
  removeSharedMemory(join(folder, POSTGRES_DATA))
  removeFolder(folder)
}

function serverFolders(keeperFolder: string): string[] {
  try {
    return readdirSync(keeperFolder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(keeperFolder, entry.name))
  } catch {
    return []
  }
}

function removeFolder(folder: string): void {
  // Tries again: the children of a killed Postgres notice its death a moment later and may still write.
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 })
}

/** What tells a process from a later one with the same id: its start time; undefined when it does not run. */
export function processIdentity(pid: number): string | undefined {
  try {
    if (process.platform !== 'linux')
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
    // The second field is the program's name in parentheses and may hold spaces: count from behind it.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

async function killRecordedProcess(file: string): Promise<void> {
  const [pidText, identity] = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
  const pid = Number(pidText)
  const runs = () => pid > 0 && identity !== undefined && processIdentity(pid) === identity
  if (!runs()) return
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has just ended by itself.
  }
  for (let tries = 0; runs() && tries < 400; tries++) await delay(5)
}

function removeSharedMemory(dataFolder: string): void {
  const file = join(dataFolder, 'postmaster.pid')
  if (!existsSync(file)) return
  // Line 7 is "key id" of the System V segment by which Postgres guards its folder. A postmaster that ends by itself
  // frees it and deletes this file; a killed one leaves both. By its key, not its id: ids are given again.
  const key = readFileSync(file, 'utf8').split('\n')[6]?.trim().split(/\s+/)[0]
  if (!key) return
  try {
    execFileSync('ipcrm', ['-M', key], { stdio: 'ignore' })
  } catch {
    // It is freed already, or there is no ipcrm: the segment has 56 bytes and ends with the machine.
  }
}
