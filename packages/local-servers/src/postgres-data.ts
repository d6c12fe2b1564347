import { execFile } from 'node:child_process'
import { chownSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheEntry } from './cache-entry.ts'
import { endedWithParent } from './death-signal.ts'
import type { KeeperLink } from './keeper-link.ts'
import type { PostgresPrograms } from './postgres-programs.ts'
import { POSTGRES_DATA, removeServerRemains } from './remains.ts'
import { runToEnd } from './server-process.ts'

const run = promisify(execFile)

export const POSTGRES_USER = 'postgres'

// initdb takes seconds, unpacking its result a tenth of one. A change of these options needs a new name of the template.
const TEMPLATE = 'postgres-data-2'
const INITDB_OPTIONS = [
  `--username=${POSTGRES_USER}`,
  // Whoever can enter the folder of the socket may connect.
  '--auth=trust',
  '--encoding=UTF8',
  '--locale=C',
  // Every server copies the template: no megabytes of log that is still empty.
  '--wal-segsize=1',
  '--set=min_wal_size=2MB',
  '--no-sync',
  '--no-instructions',
]

/** Fills the folder of a new server with an empty database. */
export async function createPostgresData(
  keeper: KeeperLink,
  programs: PostgresPrograms,
  folder: string,
): Promise<void> {
  const { version, uid } = programs
  const template = await cacheEntry(`${TEMPLATE}-${version}-${uid}`, (draft) =>
    makeTemplate(keeper, programs, draft),
  )
  giveFolder(folder, uid)
  await run('tar', ['-xpf', join(template, 'data.tar'), '--numeric-owner', '-C', folder])
}

async function makeTemplate(
  keeper: KeeperLink,
  { initdb, asUser, uid }: PostgresPrograms,
  draft: string,
): Promise<void> {
  // With the keeper, so that it goes also when we are killed meanwhile.
  const workshop = keeper.createFolder()
  try {
    giveFolder(workshop, uid)
    const data = join(workshop, POSTGRES_DATA)
    await runToEnd(
      keeper,
      'initdb',
      workshop,
      asUser(endedWithParent([initdb, `--pgdata=${data}`, ...INITDB_OPTIONS])),
    )
    await run('tar', ['-cf', join(draft, 'data.tar'), '-C', workshop, POSTGRES_DATA])
  } finally {
    await removeServerRemains(workshop)
  }
}

function giveFolder(folder: string, uid: number): void {
  if (uid !== process.getuid?.()) chownSync(folder, uid, uid)
}
