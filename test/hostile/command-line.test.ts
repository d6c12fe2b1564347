import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CliError } from '../../packages/cli/src/cli-error.ts'
import { loadConfig } from '../../packages/cli/src/load-config.ts'
import { byteLimit, durationMs } from '../../packages/cli/src/quantities.ts'
import { headwater, lastLine } from '../cli/headwater.ts'

const secret = 'geheim'
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hostile-'))
})

afterAll(() => rm(folder, { recursive: true }))

let files = 0

/** What came of loading a config file with this in it. */
async function refusalOf(text: string | Buffer, extension = 'mjs') {
  const file = join(folder, `config-${files++}.${extension}`)
  await writeFile(file, text)
  return await loadConfig(file).then(
    () => ({ code: 'none' }),
    (error: Error) => ({
      code: error instanceof CliError ? error.code : String(error),
      isShort: error.message.length < 2_048,
      isOneLine: !/\n {4}at /.test(error.message),
      isDiscreet: !error.message.includes(secret),
    }),
  )
}

const refused = { code: 'CONFIG_INVALID', isShort: true, isOneLine: true, isDiscreet: true }

describe('a config file that cannot be one is refused:', () => {
  it.each<[string, string | Buffer]>([
    ['empty', ''],
    ['of blanks', ' \t\r\n'],
    ['that exports nothing by default', 'export const redis = 1'],
    ['that exports null', 'export default null'],
    ['that exports a text', 'export default "redis://localhost"'],
    ['that exports a number', 'export default 7'],
    ['that cannot be parsed', 'export default {{'],
    ['of another language', '#!/bin/sh\necho'],
    ['in YAML', 'redis: redis://localhost\nnamespace: shop\n'],
    ['of bytes', Buffer.from([0, 255, 254, 10])],
    ['that throws', `throw new Error('connect redis://anna:${secret}@host')`],
    ['that throws nothing', 'throw undefined'],
    ['that imports what is not there', "import './nowhere.mjs'"],
    ['with an option that is none', 'export default { namespcae: "shop" }'],
    ['with an option called constructor', 'export default { constructor: 1 }'],
    ['with an option called __proto__', 'export default JSON.parse(\'{"__proto__":{"redis":"x"}}\')'],
    ['with collections that are no list', 'export default { collections: {} }'],
  ])('%s', async (_, text) => {
    expect(await refusalOf(text)).toEqual(refused)
  })

  it('that is a folder, or not there', async () => {
    const there = join(folder, 'folder.mjs')
    await mkdir(there)
    for (const path of [there, join(folder, 'nowhere.mjs'), '\0', 'x'.repeat(10_000)])
      await expect(loadConfig(path)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  })

  it.each(['ts', 'mjs', 'json'])('of 100 MB, without being read: .%s', async (extension) => {
    const file = join(folder, `huge.${extension}`)
    await writeFile(file, 'export default {}')
    await truncate(file, 100_000_000)
    const before = process.memoryUsage.rss()
    await expect(loadConfig(file)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('has 100000000 bytes, and may have 8388608') as string,
    })
    expect(process.memoryUsage.rss() - before).toBeLessThan(50_000_000)
  })

  it('that never ends', async () => {
    const pipe = join(folder, 'pipe.mjs')
    execFileSync('mkfifo', [pipe])
    for (const path of ['/dev/zero', pipe])
      await expect(loadConfig(path)).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining('is no file') as string,
      })
  })

  it('but not one with a BOM, with CRLF, or in CommonJS', async () => {
    expect(await refusalOf('\ufeffexport default {\r\n}\r\n')).toEqual({ code: 'none' })
    expect(await refusalOf('module.exports = { namespace: "shop" }', 'cjs')).toEqual({ code: 'none' })
  })
})

describe('a quantity that is none is refused:', () => {
  it.each(['', '0x1s', '5', '5 s', '-1s', '1.5h', '1e99s', '5S', '9999999999d', 's', '٣s', '5s\n'])(
    'the time %j',
    (text) => {
      expect(() => durationMs(text)).toThrow(/must be a time/)
    },
  )

  it.each(['', '5', '-1kb', '1.5gb', '1tb', '9999999gb', 'kb', 'NONE', '5kb\n'])('the size %j', (text) => {
    expect(() => byteLimit(text)).toThrow(/must be a size/)
  })
})

describe('arguments that cannot be read', () => {
  const at = ['--redis', `redis://anna:${secret}@127.0.0.1:1`, '--namespace', 'shop']

  it('end with 2 and without a stack, and tell no secret', async () => {
    const calls: (readonly string[])[] = [
      ['status', ...at, '--', '--nope', 'x'],
      ['status', '--redis'],
      ['tail', ...at, '--partition', '-1'],
      ['verify', ...at, '--limit', '5x'],
      ['get', 'products', 'x'.repeat(100_000), '--limit', '1', ...at],
      ['append', 'products', '{}', '--metadata', '=x', ...at],
      ['__proto__', ...at],
    ]
    const ended = await Promise.all(calls.map((args) => headwater(args)))
    for (const [index, { ending, stdout, stderr }] of ended.entries()) {
      expect([calls[index]![0], ending]).toEqual([calls[index]![0], 2])
      expect(`${stdout}${stderr}`).not.toMatch(/\n {4}at |geheim/)
    }
  })

  it('or a namespace that cannot be are told as JSON where that is asked for', async () => {
    const ended = await headwater(['status', ...at.slice(0, 2), '--namespace', 'a:b\n', '--json'])
    expect([1, 2]).toContain(ended.ending)
    expect(lastLine(ended)).toMatchObject({ error: { code: 'OPTION_INVALID' } })
    expect(ended.stdout).not.toContain(secret)
  })
})
