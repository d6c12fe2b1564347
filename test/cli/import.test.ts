import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect, type Log } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { Call, headwater, lastLine } from './headwater.ts'
import { openShop, shop } from './opened-shop.ts'
import { changesOf, product, products } from './shop.ts'

const config = fileURLToPath(new URL('shop.config.ts', import.meta.url))

interface ImportResult {
  readonly records: number
  readonly appended: number
  readonly failed: number
  readonly unconfirmed: number
  readonly failures: readonly { readonly line: number; readonly code: string }[]
  readonly error?: { readonly code: string }
  readonly interrupted?: string
}

let folder: string

openShop()

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-import-'))
})
afterAll(async () => {
  rmSync(folder, { recursive: true })
})

/** Without definitions, as the log was made by the command. */
function connectPlain(namespace: string, url = shop.server.url): Promise<Log> {
  return connect(url, { namespace, create: false })
}

function fileOf(lines: readonly (string | Buffer)[]): string {
  const file = join(folder, `records-${Math.random()}.ndjson`)
  writeFileSync(file, Buffer.concat(lines.flatMap((line) => [Buffer.from(line), Buffer.from('\n')])))
  return file
}

const record = (number: number): string => JSON.stringify(product(`p${number}`, number))
/** 10,000 lines, of which one is bad. */
const badLine = 5_001
const manyLines = Array.from({ length: 10_000 }, (_, at) =>
  at + 1 === badLine ? '{"sku":"broken"' : record(at + 1),
)

describe('headwater import', () => {
  it('puts 10,000 records, goes on after a bad line when told to, and reports it', async () => {
    const namespace = shop.namespace()
    const args = ['import', 'products', fileOf(manyLines), '--on-error', 'continue', '--json']
    const ended = await headwater([...args, '--config', config, ...shop.at(namespace)])
    expect(ended.ending).toBe(1)
    expect(lastLine(ended)).toEqual({
      collection: 'products',
      records: 10_000,
      appended: 9_999,
      duplicates: 0,
      failed: 1,
      unconfirmed: 0,
      seconds: expect.any(Number) as number,
      perSecond: expect.any(Number) as number,
      failures: [
        { line: badLine, code: 'VALUE_INVALID', message: expect.stringContaining('no JSON') as string },
      ],
    })
    // Beside how far it is, which it says where it takes long.
    const notes = ended.stderr.split('\n').filter((line) => !/^[\d,]+ records, /.test(line))
    expect(notes).toEqual([
      expect.stringMatching(/^line 5,001: the line is no JSON: .* \[VALUE_INVALID\]$/),
      '',
    ])
    await using log = await shop.connect(namespace)
    const values = new Set((await changesOf(log)).map(({ payload }) => JSON.stringify(JSON.parse(payload))))
    expect(values.size).toBe(9_999)
  })

  it('stops at the first bad line otherwise: everything before it is in the log, nothing behind', async () => {
    for (const bad of ['{"sku":"broken"', '{"sku":"no price"}']) {
      const namespace = shop.namespace()
      const lines = manyLines.with(badLine - 1, bad)
      const args = ['import', 'products', fileOf(lines), '--json', '--config', config]
      const ended = await headwater([...args, ...shop.at(namespace)])
      expect(ended.ending).toBe(1)
      expect(lastLine(ended)).toMatchObject({
        appended: badLine - 1,
        failed: 1,
        failures: [{ line: badLine, code: 'VALUE_INVALID' }],
      })
      await using log = await shop.connect(namespace)
      expect(await changesOf(log)).toHaveLength(badLine - 1)
    }
  })

  it('reads stdin, keyed by the property that it is told where no config defines the collection', async () => {
    const namespace = shop.namespace()
    const input = `\uFEFF${record(1)}\r\n\n  \n${record(2)}\n${record(1)}\n${JSON.stringify({ sku: 3 })}`
    const ended = await headwater(
      ['import', 'products', '-', '--key', 'sku', '--create', '--json', ...shop.at(namespace)],
      { input },
    )
    expect(ended).toMatchObject({ ending: 0, stderr: '' })
    expect(lastLine(ended)).toMatchObject({ records: 4, appended: 4, failed: 0, failures: [] })
    await using log = await connectPlain(namespace)
    const versions = (await changesOf(log)).map(({ key, version }) => `${key} ${version}`)
    expect(versions.toSorted()).toEqual(['3 1', 'p1 1', 'p1 2', 'p2 1'])
  })

  it('keeps the order of the records of one key', async () => {
    const namespace = shop.namespace()
    const lines = Array.from({ length: 3_000 }, (_, at) => JSON.stringify(product(`p${at % 3}`, at)))
    await headwater(['import', 'products', fileOf(lines), '--config', config, ...shop.at(namespace)])
    await using log = await shop.connect(namespace)
    const prices = new Map<string, number[]>()
    for (const { key, value } of await changesOf(log)) {
      prices.set(key, [...(prices.get(key) ?? []), (value as { priceCents: number }).priceCents])
    }
    for (const of of prices.values()) expect(of).toEqual(of.toSorted((a, b) => a - b))
    expect(prices.get('p0')).toHaveLength(1_000)
  })

  it('tells apart what is wrong with a line', async () => {
    const lines = [
      Buffer.from([0xff, 0xfe]),
      '"text"',
      JSON.stringify({ ...product('x'), sku: '' }),
      JSON.stringify({ ...product('big'), name: 'x'.repeat(1_100_000) }),
      'x'.repeat(16_800_000),
      record(6),
    ]
    const args = ['import', 'products', fileOf(lines), '--on-error', 'continue', '--json', '--config', config]
    const { failures, appended } = lastLine(
      await headwater([...args, ...shop.at(shop.namespace())]),
    ) as ImportResult
    expect(appended).toBe(1)
    expect(failures.map(({ line, code }) => `${line} ${code}`).toSorted()).toEqual([
      '1 VALUE_INVALID',
      '2 VALUE_INVALID',
      '3 KEY_INVALID',
      '4 VALUE_TOO_LARGE',
      '5 VALUE_INVALID',
    ])
  })

  it('can be repeated under an idempotency key without storing anything twice', async () => {
    const namespace = shop.namespace()
    const lines = Array.from({ length: 200 }, (_, at) => record(at))
    const args = ['import', 'products', fileOf(lines), '--idempotency-key', 'monday', '--json']
    const at = ['--config', config, ...shop.at(namespace)]
    expect(lastLine(await headwater([...args, ...at]))).toMatchObject({ appended: 200, duplicates: 0 })
    expect(lastLine(await headwater([...args, ...at]))).toMatchObject({ appended: 200, duplicates: 200 })
    await using log = await shop.connect(namespace)
    expect(await changesOf(log)).toHaveLength(200)
  })

  it('finishes what is on its way when it is interrupted, and tells how far it came', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const input = Array.from({ length: 500 }, (_, at) => `${record(at)}\n`).join('')
    const call = new Call(['import', 'products', '-', '--key', 'sku', '--json', ...shop.at(namespace)], {
      input,
      moreInput: true,
    })
    await eventually(async () => expect(await log.get(products, 'p499')).toBeDefined())
    call.process.kill('SIGINT')
    const ended = await call.ended()
    expect(ended.ending).toBe(130)
    expect(lastLine(ended)).toMatchObject({ records: 500, appended: 500, interrupted: 'SIGINT' })
  })

  it('stops when Redis is gone, and counts what it left unconfirmed', async () => {
    await using server = await startRedis({ own: true })
    const call = new Call(
      [
        'import',
        'products',
        '-',
        '--key',
        'sku',
        '--create',
        '--json',
        '--redis',
        server.url,
        '--namespace',
        'x',
      ],
      { input: `${record(1)}\n`, moreInput: true },
    )
    await using log = await eventually(() => connectPlain('x', server.url))
    await eventually(async () => expect(await changesOf(log)).toHaveLength(1))
    await log.close()
    await server.kill('SIGKILL')
    call.process.stdin.end(`${record(2)}\n${record(3)}\n`)
    const ended = await call.ended()
    expect(ended.ending).toBe(1)
    expect(lastLine(ended)).toMatchObject({
      appended: 1,
      failed: 0,
      unconfirmed: 2,
      error: { code: expect.stringMatching(/^(REDIS_UNAVAILABLE|OUTCOME_UNKNOWN)$/) as string },
    })
  })

  it('says which file cannot be read', async () => {
    const ended = await headwater(['import', 'products', './nowhere.ndjson', '--json'], { cwd: folder })
    expect(ended.ending).toBe(1)
    expect(lastLine(ended)).toMatchObject({
      error: {
        code: 'FILE_UNREADABLE',
        message: expect.stringContaining(join(folder, 'nowhere.ndjson')) as string,
      },
    })
    const ofFolder = await headwater(
      ['import', 'products', '.', '--key', 'sku', '--create', '--json', ...shop.at(shop.namespace())],
      { cwd: folder },
    )
    expect(ofFolder.ending).toBe(1)
    expect(lastLine(ofFolder)).toMatchObject({ error: { code: 'FILE_UNREADABLE' } })
  })
})
