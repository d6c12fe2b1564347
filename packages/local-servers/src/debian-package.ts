import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findOnPath } from './search-path.ts'

const run = promisify(execFile)

/** Whether packages can be fetched here: Debian, Ubuntu and their relatives, unless `HEADWATER_NO_DOWNLOAD` is set. */
export function canFetchPackages(): boolean {
  return (
    !process.env['HEADWATER_NO_DOWNLOAD'] &&
    findOnPath('apt-get') !== undefined &&
    findOnPath('dpkg-deb') !== undefined
  )
}

/** Names the system whose packages fit, such as `debian-12-x64`: part of the name of what is kept of them. */
export function systemName(): string {
  const release = readFileSync('/etc/os-release', 'utf8')
  const field = (name: string) => new RegExp(`^${name}="?([^"\n]*)`, 'm').exec(release)?.[1] ?? 'unknown'
  return `${field('ID')}-${field('VERSION_ID')}-${process.arch}`
}

/**
 * Fetches a package, and those it needs that are not installed, from the machine's own sources, and unpacks them into
 * `folder`. Nothing is installed and no service starts; it needs no root.
 */
export async function unpackPackage(name: string, folder: string): Promise<void> {
  const work = join(folder, '.apt')
  for (const path of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(work, path), { recursive: true })
  const config = join(work, 'apt.conf')
  writeFileSync(config, aptConfig(work))
  const apt = (...args: string[]) =>
    run('apt-get', ['--config-file', config, '--quiet', ...args], { env: { ...process.env, LC_ALL: 'C' } })
  // One source of many that cannot be reached does no harm when the others have the package.
  const updated = await apt('update').then(
    () => undefined,
    (error: Error) => error,
  )
  await apt('install', '--yes', '--no-install-recommends', '--download-only', name).catch((error: Error) => {
    throw updated ?? error
  })
  const archives = join(work, 'cache/archives')
  for (const archive of readdirSync(archives).filter((file) => file.endsWith('.deb'))) {
    await run('dpkg-deb', ['--extract', join(archives, archive), folder])
  }
  rmSync(work, { recursive: true })
}

function aptConfig(work: string): string {
  return [
    `Dir::State "${work}/state";`,
    'Dir::State::status "/var/lib/dpkg/status";',
    `Dir::Cache "${work}/cache";`,
    'Debug::NoLocking "true";',
    'Acquire::Languages "none";',
    'Acquire::Retries "2";',
    'Acquire::http::Timeout "20";',
    'Acquire::https::Timeout "20";',
    // As root apt would download as a user who cannot see a private folder.
    ...(process.getuid?.() === 0 ? ['APT::Sandbox::User "root";'] : []),
    // The machine's hooks tidy and index the machine's own lists, which are not touched here.
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '',
  ].join('\n')
}
