import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startProgram } from './started-program.ts'

interface Said {
  readonly redis: string
  readonly postgres: string
}

// A home of its own, and a PATH with the programs that a test lets it see.
let machine: string

beforeEach(() => {
  machine = mkdtempSync(join(tmpdir(), 'machine-'))
  // Postgres may run as another user, and must then get to its files in the temporary folder.
  chmodSync(machine, 0o711)
  for (const folder of ['home', 'bin', 'tmp']) mkdirSync(join(machine, folder))
  chmodSync(join(machine, 'tmp'), 0o711)
})

afterEach(() => rmSync(machine, { recursive: true }))

const SYSTEM_PATH = process.env['PATH'] ?? ''
const isLinuxRoot = process.platform === 'linux' && process.getuid?.() === 0

const WITH_UMASK_077 = ['/bin/sh', '-c', 'umask 077; exec "$0" "$@"']

function findProgram(name: string): string | undefined {
  return SYSTEM_PATH.split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path))
}

function provide(...programs: string[]): void {
  for (const program of programs) symlinkSync(findProgram(program)!, join(machine, 'bin', program))
}

/** Where no folder can be made, not even by root. */
function noHome(): string {
  const file = join(machine, 'file')
  writeFileSync(file, '')
  return join(file, 'home')
}

/** Starts both servers on that machine; downloads are off, and PATH is empty, unless `env` says otherwise. */
async function startOnMachine(env: NodeJS.ProcessEnv = {}, prefix: string[] = []): Promise<Said> {
  const { REDIS_SERVER_BIN: _, XDG_CACHE_HOME: __, ...rest } = process.env
  const { said, exited } = await startProgram<Said>('fresh-machine-process.ts', {
    env: {
      ...rest,
      HOME: join(machine, 'home'),
      TMPDIR: join(machine, 'tmp'),
      PATH: join(machine, 'bin'),
      HEADWATER_NO_DOWNLOAD: '1',
      ...env,
    },
    prefix,
  })
  await exited
  return said
}

describe('a machine without a Redis server', () => {
  it('is told what to install', async () => {
    const { redis } = await startOnMachine()
    for (const advice of [
      'brew install redis',
      'apt install redis-server',
      'dnf install',
      'REDIS_URL',
      'BINARY_NOT_FOUND',
    ]) {
      expect(redis).toContain(advice)
    }
  })

  it('is told so also when what is on PATH does not run', async () => {
    writeFileSync(join(machine, 'bin/redis-server'), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
    const { redis } = await startOnMachine()
    expect(redis).toContain('No redis-server or valkey-server that runs is on PATH')
  })

  it('is told that REDIS_SERVER_BIN does not run', async () => {
    const { redis } = await startOnMachine({ REDIS_SERVER_BIN: '/no/such/redis-server' })
    expect(redis).toContain('REDIS_SERVER_BIN is /no/such/redis-server, which does not run')
  })

  it.runIf(findProgram('apt-get') !== undefined && findProgram('redis-server') === undefined)(
    'gets the package into a cache of its own, with any umask, and once for all that start at the same time',
    async () => {
      const env = { PATH: SYSTEM_PATH, HEADWATER_NO_DOWNLOAD: '' }
      const said = await Promise.all([
        startOnMachine(env, WITH_UMASK_077),
        startOnMachine(env, WITH_UMASK_077),
      ])
      const cache = join(machine, 'home/.cache/headwater')
      for (const { redis, postgres } of said) {
        expect(redis).toContain(`${cache}/redis-`)
        expect(postgres).toBe('it answers')
      }
      expect(
        readdirSync(cache)
          .map((name) => name.replace(/-.*/, ''))
          .toSorted(),
      ).toEqual(['postgres', 'redis'])
    },
    90_000,
  )
})

describe('a machine on which Postgres never ran', () => {
  it('makes the template of its data once for all that start at the same time', async () => {
    const said = await Promise.all([
      startOnMachine({ PATH: SYSTEM_PATH }),
      startOnMachine({ PATH: SYSTEM_PATH }),
    ])
    expect(said.map(({ postgres }) => postgres)).toEqual(['it answers', 'it answers'])
    expect(readdirSync(join(machine, 'home/.cache/headwater'))).toEqual([
      expect.stringMatching(/^postgres-data-[^.]/),
    ])
  })

  it('keeps the template in the temporary folder when there is no home', async () => {
    const { postgres } = await startOnMachine({ PATH: SYSTEM_PATH, HOME: noHome() })
    expect(postgres).toBe('it answers')
    const cache = join(machine, 'tmp', `headwater-cache-${process.getuid!()}`)
    expect(statSync(cache).mode & 0o777).toBe(0o700)
    expect(readdirSync(cache)).toEqual([expect.stringMatching(/^postgres-data-/)])
  })

  it('is not misled by the environment, or by odd names of folders', async () => {
    const odd = join(machine, 'tmp', "it's odd")
    mkdirSync(odd)
    const { postgres } = await startOnMachine({
      PATH: SYSTEM_PATH,
      XDG_CACHE_HOME: join(homedir(), '.cache'),
      PGPORT: '1',
      PGHOST: 'nowhere',
      TMPDIR: odd,
    })
    expect(postgres).toBe('it answers')
  })

  it('trusts no cache in the temporary folder that others can write to', async () => {
    const cache = join(machine, 'tmp', `headwater-cache-${process.getuid!()}`)
    mkdirSync(cache)
    chmodSync(cache, 0o777)
    const { postgres } = await startOnMachine({ PATH: SYSTEM_PATH, HOME: noHome() })
    expect(postgres).toContain('others can write to it')
  })

  it.runIf(isLinuxRoot)(
    'runs it as nobody from a copy where user namespaces are forbidden to root',
    async () => {
      provide('tar', 'chmod', 'setpriv', 'ipcrm')
      const { postgres } = await startOnMachine({}, WITH_UMASK_077)
      expect(postgres).toBe('it answers')
      // Of the temporary folder only the copy is left.
      const left = readdirSync(join(machine, 'tmp')).filter((name) => !name.startsWith('tsx-'))
      expect(left).toEqual(['headwater-cache-0-shared'])
    },
  )

  it.runIf(isLinuxRoot)('tells root what is missing to run it', async () => {
    const { postgres } = await startOnMachine()
    expect(postgres).toContain('Install util-linux')
  })
})
