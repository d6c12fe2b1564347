import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { builtHeadwater, type BuiltHeadwater } from '../cli/built-headwater.ts'
import { everyLine, headwater, lastLine, type Ended } from '../cli/headwater.ts'
import { Shop } from '../cli/shop.ts'

const secret = 'geheim'
let server: OwnRedisServer
let admin: Redis
let folder: string
let built: BuiltHeadwater
let shop: Shop

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hostile-'))
  built = await builtHeadwater()
  server = await startRedis({ own: true, port: true })
  admin = new Redis(server.options)
  shop = new Shop(server)
})

afterAll(async () => {
  admin.disconnect()
  await shop[Symbol.asyncDispose]()
  built.remove()
  await rm(folder, { recursive: true })
})

interface Imported {
  readonly records: number
  readonly appended: number
  readonly failures: readonly { readonly line: number; readonly code: string }[]
  readonly error?: { readonly code: string }
}

const call = (args: readonly string[], input: string | Buffer = ''): Promise<Ended> =>
  headwater(args, { program: built.program, cwd: folder, input })

/** What comes of importing a file with this in it, and of whose lines what was said. */
async function imported(extension: string, content: string | Buffer, namespace = shop.namespace()) {
  const file = join(folder, `${namespace.split(':').at(-1)}.${extension}`)
  await writeFile(file, content)
  const args = ['import', 'things', file, '--key', 'id', '--create', '--on-error', 'continue', '--json']
  const ended = await call([...args, ...shop.at(namespace)])
  const { appended, failures, error } = lastLine(ended) as Imported
  return {
    ending: ended.ending,
    appended,
    refused: failures?.map(({ line, code }) => `${line} ${code}`),
    error: error?.code,
    isDiscreet: !(ended.stdout + ended.stderr).includes(secret),
  }
}

const utf16 = (text: string): Buffer => Buffer.from(`\ufeff${text}`, 'utf16le')
const bomb = gzipSync(Buffer.alloc(50_000_000))
const clean = { error: undefined, isDiscreet: true }

const sorted = (values: readonly unknown[]): string[] =>
  values.map((value) => JSON.stringify(value)).toSorted((a, b) => a.localeCompare(b))

describe('a file to import', () => {
  it.each<[string, string, string | Buffer, number, readonly string[]]>([
    ['half of a last line', 'ndjson', '{"id":"a"}\n{"id":"b","card":"geheim', 1, ['2 VALUE_INVALID']],
    ['a member twice', 'ndjson', '{"id":"a","n":1,"n":2}\n', 1, []],
    ['no end of the last line', 'ndjson', '{"id":"a"}\n{"id":"b"}', 2, []],
    ['line ends of Windows and a BOM', 'ndjson', '\ufeff{"id":"a"}\r\n\r\n{"id":"b"}\r\n', 2, []],
    ['line ends of old Macs', 'ndjson', '{"id":"a"}\r{"id":"geheim"}\r', 0, ['1 VALUE_INVALID']],
    [
      'words that are no JSON',
      'ndjson',
      'geheim\n{"id":"a"}\nNaN\n',
      1,
      ['1 VALUE_INVALID', '3 VALUE_INVALID'],
    ],
    ['a NUL', 'ndjson', '\0geheim\n{"id":"a\\u0000"}\n', 1, ['1 VALUE_INVALID']],
    ['half of a surrogate pair', 'ndjson', '{"id":"\\ud800"}\n{"id":"a"}\n', 1, ['1 KEY_INVALID']],
    ['UTF-16', 'ndjson', utf16('{"id":"a"}\n'), 0, ['1 VALUE_INVALID', '2 VALUE_INVALID']],
    ['Latin-1', 'ndjson', Buffer.from('{"id":"\u00e9"}\n{"id":"a"}\n', 'latin1'), 1, ['1 VALUE_INVALID']],
    ['a line of 20 MB', 'ndjson', `${'x'.repeat(20_000_000)}\n{"id":"a"}\n`, 1, ['1 VALUE_INVALID']],
    [
      'a value 100,000 levels deep',
      'ndjson',
      `{"id":"a","x":${'['.repeat(100_000)}${']'.repeat(100_000)}}\n`,
      0,
      ['1 VALUE_INVALID'],
    ],
    [
      'scalars and lists',
      'ndjson',
      '1\n[]\nnull\n"x"\n{"id":"a"}\n',
      1,
      ['1 VALUE_INVALID', '2 VALUE_INVALID', '3 VALUE_INVALID', '4 VALUE_INVALID'],
    ],
    ['half of a last record', 'csv', 'id,n,m\na,1,2\nb,geh', 1, ['3 VALUE_INVALID']],
    ['a record with too many cells', 'csv', 'id,n\na,1,geheim\nb,2\n', 1, ['2 VALUE_INVALID']],
    ['line ends of Windows in CSV', 'csv', '\ufeffid,n\r\na,1\r\nb,"2\r\n3"\r\n', 2, []],
  ])(
    'with %s brings the good records, and says which are not',
    async (_, extension, content, appended, refused) => {
      const ending = refused.length === 0 ? 0 : 1
      expect(await imported(extension, content)).toEqual({ ...clean, ending, appended, refused })
    },
  )

  it.each<[string, string, string | Buffer]>([
    ['compressed NDJSON, which is not decompressed', 'ndjson', bomb],
    ['compressed CSV, which is not decompressed', 'csv', bomb],
    ['CSV in UTF-16', 'csv', utf16('id,n\na,1\n')],
    ['CSV with a column twice', 'csv', 'id,id\na,b\n'],
    ['CSV with a column without a name', 'csv', 'id,\na,b\n'],
  ])('that is %s leaves nothing behind', async (_, extension, content) => {
    const namespace = shop.namespace()
    const { ending, isDiscreet } = await imported(extension, content, namespace)
    expect({ ending, isDiscreet }).toEqual({ ending: 1, isDiscreet: true })
    expect(everyLine(await call(['export', 'things', '-', ...shop.at(namespace)]))).toEqual([])
  })

  it('may say dangerous things, and gives them back as they were', async () => {
    const namespace = shop.namespace()
    const lines = [
      '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}},"id":"__proto__"}',
      '{"id":"=cmd|\' /C calc\'!A0","note":"@SUM(1+1)*cmd|x"}',
      '{"id":"-1+2","note":"+1\\t\\r\\n\\"quoted\\""}',
      '{"id":"<img src=x onerror=alert(1)>","note":"\\u001b[2J\\u202e"}',
    ]
    expect(await imported('ndjson', lines.join('\n'), namespace)).toMatchObject({ appended: 4 })
    const given = lines.map((line) => JSON.parse(line) as { id: string })
    for (const format of ['ndjson', 'csv']) {
      const file = join(folder, `again.${format}`)
      await call(['export', 'things', file, ...shop.at(namespace)])
      const again = shop.namespace()
      expect(await imported(format, await readFile(file), again)).toMatchObject({ ending: 0, appended: 4 })
      const texts = everyLine<{ id: string }>(await call(['export', 'things', '-', ...shop.at(again)]))
      // Without a schema a cell is a text: what was an object is its JSON.
      const whole =
        format === 'ndjson'
          ? given
          : given.map((value) =>
              Object.fromEntries(
                Object.entries(value).map(([name, member]) => [
                  name,
                  typeof member === 'string' ? member : JSON.stringify(member),
                ]),
              ),
            )
      expect(sorted(texts)).toEqual(sorted(whole))
    }
  })
})

describe('a value on stdin', () => {
  it.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['half a value', '{"id":"a","card":"geheim"'],
    ['no JSON', 'geheim'],
    ['Latin-1', Buffer.from('{"id":"\u00e9"}', 'latin1')],
    ['more than any value may be', `"${'x'.repeat(17_000_000)}"`],
    ['two values', '{"id":"a"}{"id":"geheim"}'],
  ])('that is %s is refused, unquoted, and leaves nothing behind', async (_, input) => {
    const before = await admin.call('DEBUG', 'DIGEST')
    const namespace = shop.namespace()
    const ended = await call(['append', 'things', '-', '--create', '--json', ...shop.at(namespace)], input)
    expect(ended.ending).toBe(2)
    expect(lastLine(ended)).toMatchObject({ error: { code: 'USAGE' } })
    expect(ended.stdout + ended.stderr).not.toContain(secret)
    expect(await admin.call('DEBUG', 'DIGEST')).toBe(before)
  })
})

describe('a command that takes something away', () => {
  it(
    'takes names for names: an asterisk is nobody, and nothing goes without being named',
    { timeout: 60_000 },
    async () => {
      const namespace = shop.namespace()
      const at = shop.at(namespace)
      await (await shop.connect(namespace)).close()
      await call(['append', 'products', '{"sku":"lamp"}', '--key', 'sku', ...at])
      const before = await admin.call('DEBUG', 'DIGEST')
      const calls: [number, ...string[]][] = [
        [1, 'group', 'retire', '*', '--force'],
        [2, 'parked', 'drop', 'cache'],
        [1, 'parked', 'drop', '*', '--all'],
        [1, 'parked', 'skip', '*', '*', '*'],
        [1, 'rewind', '*', '--to', 'beginning'],
        [2, 'rewind', 'cache', '--to', '0'],
        [1, 'drain', '*'],
        [1, 'delete', '*', '*'],
        [2, 'rebuild', 'cache', '--drop', '0'],
        [2, 'trim', '*'],
        [2, 'trim', '--yes'],
        [2, 'purge', '*'],
        [2, 'retention', '--keep', '*'],
        [2, 'replay', 'cache', '*', '--from', '0'],
      ]
      for (const [ending, ...args] of calls) {
        const ended = await call([...args, '--json', ...at])
        expect([args.join(' '), ended.ending]).toEqual([args.join(' '), ending])
        expect(lastLine(ended)).toHaveProperty('error.code')
      }
      expect(await admin.call('DEBUG', 'DIGEST')).toBe(before)
    },
  )

  it('changes nothing where it is only to say what it would do', async () => {
    const namespace = shop.namespace()
    const at = shop.at(namespace)
    await call(['append', 'things', '{"id":"lamp"}', '--create', ...at])
    await call(['retention', '--keep', '0s', ...at])
    const before = await admin.call('DEBUG', 'DIGEST')
    for (const args of [
      ['trim'],
      ['purge', 'tombstones'],
      ['purge', 'idempotency-records'],
      ['purge', 'producers'],
    ]) {
      const ended = await call([...args, '--dry-run', '--json', ...at])
      expect([args.join(' '), ended.ending]).toEqual([args.join(' '), 0])
      expect(lastLine(ended)).toMatchObject({ dryRun: true })
    }
    expect(await admin.call('DEBUG', 'DIGEST')).toBe(before)
  })
})
