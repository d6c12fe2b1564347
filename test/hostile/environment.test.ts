import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { defaultSpool } from '../../packages/adapters/redis/src/capture/capture-name.ts'
import { builtHeadwater, type BuiltHeadwater } from '../cli/built-headwater.ts'
import { Call, everyLine, headwater, lastLine, type CallOptions, type Ended } from '../cli/headwater.ts'
import { product, products, Shop } from '../cli/shop.ts'
import { Clock } from '../faults/clock.ts'
import { eventually } from '../support/eventually.ts'

const secret = 'geheim'
let folder: string
let built: BuiltHeadwater
let shop: Shop
let namespace: string
let at: readonly string[]

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hostile-'))
  built = await builtHeadwater()
  shop = await Shop.open()
  namespace = shop.namespace()
  at = shop.at(namespace)
  await using log = await shop.connect(namespace)
  for (let id = 0; id < 200; id++) await log.append(products.put(product(`p${id}`)))
})

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
  built.remove()
  await rm(folder, { recursive: true })
})

const call = (args: readonly string[], options: CallOptions = {}): Promise<Ended> =>
  headwater(args, { program: built.program, cwd: folder, ...options })

/** By a shell that does something to itself first. */
const shell = (script: string, args: readonly string[], options: CallOptions = {}): Promise<Ended> =>
  call(args, { ...options, program: ['sh', '-c', script, 'sh', ...built.program] })

const inGoneFolder = (args: readonly string[]): Promise<Ended> =>
  shell('d=$(mktemp -d) && cd "$d" && rmdir "$d" && exec "$@"', args)

/** As a user whom permissions of files apply to: root is one only without two of its capabilities. */
const permitted = (args: readonly string[]): Promise<Ended> =>
  shell(
    'if [ "$(id -u)" = 0 ]; then exec setpriv --bounding-set=-dac_override,-dac_read_search "$@"; fi; exec "$@"',
    args,
  )

/** What is wrong with how a call failed; nothing where it is as it should be. */
function troubles({ ending, stdout, stderr }: Ended, json: boolean): string[] {
  const found: string[] = []
  const last = stdout.trimEnd().split('\n').at(-1) ?? ''
  const told = json ? last : stderr
  if (ending !== 1 && ending !== 2) found.push(`ended with ${ending}`)
  if (told.length > 1_200) found.push(`told ${told.length} characters`)
  if (/\n {4}at /.test(stdout + stderr)) found.push('a stack')
  if ((stdout + stderr).includes(secret)) found.push('a secret')
  if (json && !/^\{"error":\{"code":"[A-Z_]+","message":".+"\}\}$/.test(last)) found.push(`no JSON: ${last}`)
  if (!json && !/^headwater: .+ \[[A-Z_]+\]\n$/.test(stderr)) found.push(`no line: ${stderr.slice(0, 300)}`)
  return found
}

const long = 'x'.repeat(120_000)

describe('arguments that nobody meant', () => {
  it.each<[string, () => readonly string[]]>([
    ['a command that is none', () => ['nonsense']],
    ['a command with a password in it', () => [`redis://anna:${secret}@host`]],
    ['a command of 120 kB', () => [long]],
    ['an option that is none', () => ['status', '--nonsense', ...at]],
    ['an option of 120 kB', () => ['status', `--${long}`, ...at]],
    ['an option without its value', () => ['tail', ...at, '--limit']],
    ['an option with an empty value', () => ['status', '--namespace', shop.namespace(), '--redis=']],
    ['one argument too many', () => ['trim', 'everything', ...at]],
    ['two dashes and what looks like an option', () => ['trim', ...at, '--', '--dry-run']],
    ['a namespace of 120 kB', () => ['status', ...at.slice(0, 2), '--namespace', long]],
    ['a namespace with a NUL that a shell cannot give', () => ['status', ...at, '--namespace', 'a\\0b']],
    ['a collection of 120 kB', () => ['export', long, 'out.ndjson', ...at]],
    ['a group of 120 kB', () => ['pause', long, ...at]],
    ['a group of many words', () => ['pause', 'a '.repeat(60_000), ...at]],
    ['a file of 120 kB', () => ['import', 'products', long, ...at]],
    ['a config of 120 kB', () => ['run', long, ...at]],
    ['a version of 120 kB', () => ['append', 'products', '{"id":1}', '--expected', long, ...at]],
    ['a time that is none', () => ['retention', '--keep', long, ...at]],
    ['a partition below zero', () => ['tail', '--partition', '-1', ...at]],
  ])('are told in one line of JSON where that is asked for: %s', async (_, args) => {
    expect(troubles(await call(['--json', ...args()]), true)).toEqual([])
  })

  it('are told in one line of text otherwise', async () => {
    const calls = [[long], ['pause', 'a '.repeat(60_000), ...at], [`redis://anna:${secret}@host`]]
    for (const args of calls) expect(troubles(await call(args), false)).toEqual([])
  })

  it('explain the program where there are none, and a command though garbage stands before -h', async () => {
    expect(await call([])).toMatchObject({
      ending: 2,
      stdout: '',
      stderr: expect.stringMatching(/^Usage: headwater/) as string,
    })
    const help = await call(['get', 'a', 'b', 'c', '--nonsense', '-h'])
    expect(help).toMatchObject({
      ending: 0,
      stdout: expect.stringMatching(/^Usage: headwater get/) as string,
    })
  })

  it('count the last time where an option is repeated that takes one value', async () => {
    const ended = await call(['status', '--json', ...shop.at(shop.namespace()), ...at])
    expect(lastLine(ended)).toMatchObject({ namespace })
  })

  it('are keys where keys are asked for, also with a dash before them', async () => {
    const ended = await call(['get', 'products', ...at, '--json', '--', '-1'])
    expect(ended.ending).toBe(1)
    const other = await call(['get', 'products', '-1', ...at])
    expect(other.stderr).toMatch(/^headwater: Key "-1" of products does not exist\. \[KEY_ABSENT\]\n$/)
  })
})

describe('a stdout', () => {
  it('that is closed at the beginning hurts nobody', async () => {
    const ended = await shell('exec "$@" >&-', ['status', ...at])
    expect(ended).toEqual({ ending: 0, stdout: '', stderr: '' })
    expect((await shell('exec "$@" <&- >&- 2>&-', ['status', ...at])).ending).toBe(0)
  })

  it('that is closed while it is written to ends the call quietly', async () => {
    const reader = await shell('{ "$@"; echo "ended with $?" >&2; } | head -c 10', [
      'export',
      'products',
      ...at,
    ])
    expect(reader.stdout).toHaveLength(10)
    expect(reader.stderr).toMatch(/ended with 0\n$/)
    expect(reader.stderr).not.toMatch(/EPIPE|\n {4}at /)
  })

  it.each(['export', 'status', 'tail'])('that cannot take more is a failure of %s', async (command) => {
    const rest = { export: ['products'], status: [], tail: ['--from', 'beginning'] }[command]!
    const ended = await shell('exec "$@" >/dev/full', [command, ...rest, ...at])
    expect(ended.ending).toBe(1)
    expect(ended.stderr).toMatch(/^headwater: stdout cannot be written: ENOSPC.* \[FILE_UNWRITABLE\]$/m)
  })

  it('and a stderr that cannot take more take nothing from the exit code', async () => {
    expect((await shell('exec "$@" 2>/dev/full', ['status', '--nonsense'])).ending).toBe(2)
    expect((await shell('exec "$@" 2>/dev/full', ['status', ...at])).ending).toBe(0)
  })
})

describe('an environment that lacks what is usual', () => {
  it.each<[string, string]>([
    ['no TERM and no HOME', 'unset TERM HOME; exec "$@"'],
    ['a HOME that is not there', 'HOME=/nonexistent exec "$@"'],
    ['nothing but what finds the program', 'exec env -i "$@"'],
    ['the language of Turkey, where i is no I', 'LC_ALL=tr_TR.UTF-8 LANG=tr_TR.UTF-8 exec "$@"'],
    ['one byte a character', 'LC_ALL=C exec "$@"'],
    ['variables that are set to nothing', 'REDIS_URL= HEADWATER_NAMESPACE= NO_COLOR= exec "$@"'],
    ['a size of the terminal that is none', 'COLUMNS=-1 LINES=x exec "$@"'],
  ])('changes nothing: %s', async (_, script) => {
    const ended = await shell(script, ['get', 'products', 'p7', '--json', ...at])
    expect(ended).toMatchObject({ ending: 0, stderr: '' })
    expect(lastLine(ended)).toMatchObject({ value: product('p7') })
  })

  it('leaves all but files to do where the folder of the call is gone', async () => {
    expect((await inGoneFolder(['status', '--json', ...at])).ending).toBe(0)
    for (const args of [
      ['export', 'products', 'out.ndjson', ...at],
      ['import', 'products', 'in.ndjson', ...at],
      ['init'],
    ]) {
      const ended = await inGoneFolder([...args, '--json'])
      expect(troubles(ended, true)).toEqual([])
      expect(lastLine(ended)).toMatchObject({ error: { code: 'FILE_UNREADABLE' } })
    }
  })

  it.each([
    ['export', ['export', 'products', 'no-folder/out.ndjson'], 'FILE_UNWRITABLE'],
    ['an archive', ['archive', 'run', 'no-folder/archive'], 'ARCHIVE_UNAVAILABLE'],
    ['an archive that is read', ['archive', 'verify', 'no-folder/archive'], 'ARCHIVE_UNAVAILABLE'],
    ['a project', ['init', 'no-folder'], 'FILE_UNWRITABLE'],
  ])('that takes no files is told by what is to write one: %s', async (_, args, code) => {
    // What stands there is a file, so nothing can be put below it, by whomever.
    await writeFile(join(folder, 'no-folder'), '')
    const ended = await call([...args, ...at, '--json'])
    expect(troubles(ended, true)).toEqual([])
    expect(lastLine(ended)).toMatchObject({ error: { code } })
  })

  it('that may not be read or written is told by what has to', async () => {
    const locked = join(folder, 'locked')
    await mkdir(locked)
    const config = join(folder, 'unreadable.config.ts')
    await writeFile(config, 'export default {}', { mode: 0 })
    const records = join(folder, 'unreadable.ndjson')
    await writeFile(records, '{"id":"a"}\n', { mode: 0 })
    await chmod(locked, 0o500)
    const expected: [readonly string[], string][] = [
      [['status', '--config', config], 'CONFIG_INVALID'],
      [['import', 'products', records, ...at], 'FILE_UNREADABLE'],
      [['export', 'products', join(locked, 'out.ndjson'), ...at], 'FILE_UNWRITABLE'],
      [['archive', 'run', join(locked, 'archive'), ...at], 'ARCHIVE_UNAVAILABLE'],
      [['init', join(locked, 'project')], 'FILE_UNWRITABLE'],
    ]
    for (const [args, code] of expected) {
      const ended = await permitted([...args, '--json'])
      expect(troubles(ended, true)).toEqual([])
      expect(lastLine(ended)).toMatchObject({ error: { code } })
    }
    expect(await readdir(locked)).toEqual([])
  })

  it('lists processes without the passwords in their arguments', async () => {
    // Nobody answers, so the call waits.
    await using silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const url = `redis://anna:${secret}@127.0.0.1:${port}`
    const following = new Call(['tail', '--redis', url, '--namespace', 'shop'], { program: built.program })
    await eventually(async () => {
      const listed = await readFile(`/proc/${following.process.pid}/cmdline`, 'utf8')
      expect(listed).toMatch(/^headwater tail --redis redis:\/\/\*\*\*@/)
      expect(listed).not.toContain(secret)
    })
  })

  it.each<[string, () => readonly string[]]>([
    ['REDIS_URL', () => ['status', '--namespace', 'shop']],
    ['HEADWATER_NAMESPACE', () => ['status', ...at.slice(0, 2)]],
    ['HEADWATER_HTTP_TOKEN', () => ['run', '--http', '0', ...at]],
  ])(
    'in which a script wrote undefined or null for %s is refused, and not worked with',
    async (name, args) => {
      for (const value of ['undefined', 'null', ' null\n']) {
        const ended = await call([...args(), '--json'], { env: { [name]: value } })
        expect([value, ended.ending, troubles(ended, true)]).toEqual([value, 2, []])
        expect(lastLine(ended)).toMatchObject({
          error: {
            code: 'USAGE',
            message: expect.stringContaining(`variable ${name} is ${JSON.stringify(value)}`) as string,
          },
        })
      }
    },
  )

  it.each<[string, string, string, () => readonly string[]]>([
    ['REDIS_URL', 'true ', 'USAGE', () => ['status', '--namespace', 'shop']],
    ['REDIS_URL', ' ', 'USAGE', () => ['status', '--namespace', 'shop']],
    ['REDIS_URL', '', 'USAGE', () => ['status', '--namespace', 'shop']],
    ['HEADWATER_NAMESPACE', 'true ', 'OPTION_INVALID', () => ['status', ...at.slice(0, 2)]],
    ['HEADWATER_NAMESPACE', ' ', 'OPTION_INVALID', () => ['status', ...at.slice(0, 2)]],
    ['HEADWATER_NAMESPACE', '', 'USAGE', () => ['status', ...at.slice(0, 2)]],
    ['HEADWATER_HTTP_TOKEN', 'true ', 'USAGE', () => ['run', '--http', '0', ...at]],
    ['HEADWATER_HTTP_TOKEN', '', 'USAGE', () => ['run', '--http', '0', ...at]],
  ])('with %s=%j is refused: %s', async (name, value, code, args) => {
    const ended = await call([...args(), '--json'], { env: { [name]: value } })
    expect(troubles(ended, true)).toEqual([])
    expect(lastLine(ended)).toMatchObject({ error: { code } })
  })

  it('with passwords shows none of them in its help', async () => {
    const env = { REDIS_URL: `redis://anna:${secret}@host`, HEADWATER_HTTP_TOKEN: secret }
    for (const args of [['--help'], ['run', '--help'], ['status', '-h']]) {
      const { ending, stdout, stderr } = await call(args, { env })
      expect([ending, `${stdout}${stderr}`.includes(secret), stdout.length > 100]).toEqual([0, false, true])
    }
  })

  it('in which a folder is none leaves files where they would be without it', async () => {
    for (const value of ['undefined', 'null', 'true ', '']) {
      const file = `from-${value.trim()}.ndjson`
      const ended = await call(['export', 'products', file, ...at], {
        env: {
          INIT_CWD: value,
          npm_lifecycle_event: 'headwater',
          XDG_STATE_HOME: value,
          XDG_CACHE_HOME: value,
        },
      })
      expect(ended).toMatchObject({ ending: 0, stderr: '' })
      expect((await stat(join(folder, file))).size).toBeGreaterThan(0)
      vi.stubEnv('XDG_STATE_HOME', value)
      expect(defaultSpool('state', 'shop')).toBe(
        join(homedir(), '.local', 'state', 'headwater', 'capture-state', 'shop'),
      )
    }
    vi.unstubAllEnvs()
  })

  it('that takes no temporary files is told too, and nothing is left', async () => {
    const ended = await call(['export', 'products', 'out.ndjson', '--json', ...at], {
      env: { TMPDIR: join(folder, 'nowhere') },
    })
    expect(lastLine(ended)).toMatchObject({ error: { code: 'FILE_UNWRITABLE' } })
    expect((await readdir(folder)).filter((name) => name.startsWith('out'))).toEqual([])
  })

  it('lets nobody else read what is written, where the umask says so', async () => {
    const ended = await shell('umask 077 && exec "$@"', ['export', 'products', 'mine.ndjson', ...at])
    expect(ended.ending).toBe(0)
    expect((await stat(join(folder, 'mine.ndjson'))).mode & 0o777).toBe(0o600)
  })

  it('whose clock stands before 1970 is no reason to give up', async () => {
    const clock = Clock.make(folder)
    expect(clock).toBeDefined()
    clock!.step(-new Date('2036-01-01').getTime())
    const skewed = { program: ['env', ...clock!.settings, ...built.program] }
    const put = ['append', 'products', JSON.stringify(product('early')), '--key', 'sku', '--json', ...at]
    expect(lastLine(await call(put, skewed))).toMatchObject({ version: '1' })
    const status = await call(['status', '--json', ...at], skewed)
    expect(lastLine(status)).toMatchObject({ namespace })
    const changes = everyLine(
      await call(['tail', '--from', 'beginning', '--no-follow', '--json', ...at], skewed),
    )
    expect(changes.length).toBeGreaterThan(200)
    clock!.close()
  })
})

describe('two calls at once', () => {
  it('that export into one file leave the whole of one of them', async () => {
    const both = await Promise.all([1, 2, 3].map(() => call(['export', 'products', 'shared.csv', ...at])))
    expect(both.map(({ ending }) => ending)).toEqual([0, 0, 0])
    const lines = (await readFile(join(folder, 'shared.csv'), 'utf8')).trimEnd().split('\n')
    expect(lines.length).toBeGreaterThan(200)
    expect(lines.filter((line) => line.split(',').length !== 3)).toEqual([])
    expect((await readdir(folder)).filter((name) => name.endsWith('.unfinished'))).toEqual([])
  })

  it('that import one file under one idempotency key store it once', async () => {
    const own = shop.namespace()
    await (await shop.connect(own)).close()
    const file = join(folder, 'twice.ndjson')
    await writeFile(
      file,
      Array.from({ length: 300 }, (_, id) => JSON.stringify(product(`p${id}`))).join('\n'),
    )
    const args = ['import', 'products', file, '--key', 'sku', '--idempotency-key', 'monday', '--json']
    const both = await Promise.all([1, 2].map(() => call([...args, ...shop.at(own)])))
    const results = both.map((ended) => lastLine(ended) as { appended: number; duplicates: number })
    expect(results.map(({ appended }) => appended)).toEqual([300, 300])
    expect(results.reduce((sum, { duplicates }) => sum + duplicates, 0)).toBe(300)
  })

  it('that make one project leave the whole of one of them', async () => {
    const project = join(folder, 'project')
    await mkdir(project)
    const both = await Promise.all([1, 2].map(() => call(['init', project, '--json'])))
    expect(both.filter(({ ending }) => ending === 0).length).toBeGreaterThan(0)
    for (const ended of both.filter(({ ending }) => ending !== 0)) expect(troubles(ended, true)).toEqual([])
    expect(JSON.parse(await readFile(join(project, 'package.json'), 'utf8'))).toHaveProperty('name')
  })
})

describe('two signals to stop', () => {
  it.each<[string, number | string, readonly string[]]>([
    ['tail', 'SIGINT', []],
    ['lag', 0, ['--watch']],
    ['import', 130, ['products', '-', '--key', 'sku']],
  ])('end %s as one does', async (command, ending, rest) => {
    const waiting = new Call([command, ...rest, '--json', ...at], {
      program: built.program,
      input: `${JSON.stringify(product(command))}\n`,
      moreInput: true,
    })
    await using log = await shop.connect(namespace)
    await eventually(async () => {
      if (command === 'tail') await log.append(products.put(product('seen')))
      const isAtWork = command === 'import' ? await log.get(products, command) : waiting.stdout
      expect(isAtWork).toBeTruthy()
    })
    waiting.process.kill('SIGINT')
    waiting.process.kill('SIGINT')
    expect(await waiting.ended()).toMatchObject({ ending, stderr: '' })
  })
})
