import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Call, headwater, lastLine } from './headwater.ts'
import { openShopAndReplica, replica, shop } from './shop-and-replica.ts'
import { product, products } from './shop.ts'

const shopConfig = fileURLToPath(new URL('shop.config.ts', import.meta.url))
const gateConfig = fileURLToPath(new URL('gate.config.ts', import.meta.url))
let folder: string

openShopAndReplica()
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-run-'))
})
afterAll(async () => {
  rmSync(folder, { recursive: true })
})

interface LogLine {
  readonly time: string
  readonly level: string
  readonly msg: string
  readonly event?: string
}
const logLines = (stderr: string): LogLine[] =>
  stderr
    .trimEnd()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine)

describe('headwater run', () => {
  it('applies the log to the sinks of the config, and at SIGTERM hands its leases over and ends with 0', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const env = { REPLICA_URL: replica.url }
    const first = new Call(['run', shopConfig, '--json', ...shop.at(namespace)], { env })
    const { position } = await log.append(products.put(product('lamp')))
    await first.says('"event":"acquired"')
    await log.whenApplied(position, { group: 'cache' })
    const rest = Promise.all(
      Array.from({ length: 3_000 }, (_, at) => log.append(products.put(product(`p${at}`)))),
    )
    first.process.kill('SIGTERM')
    const ended = await first.ended()
    expect(ended.ending).toBe(0)
    expect(lastLine(ended)).toEqual({
      worker: expect.any(String) as string,
      signal: 'SIGTERM',
      seconds: expect.any(Number) as number,
    })
    expect((await log.groups()).map(({ owner }) => owner)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ])
    const lines = logLines(ended.stderr)
    expect(lines.map(({ msg }) => msg)).toEqual(expect.arrayContaining(['started', 'stopping', 'stopped']))
    const told = (kind: string): number => lines.filter(({ event }) => event === kind).length
    expect(told('released')).toBe(told('acquired'))
    expect(ended.stderr).not.toContain('Product ')

    const positions = (await rest).map((result) => result.position)
    const second = new Call(['run', shopConfig, ...shop.at(namespace)], { env })
    await Promise.all(positions.map((after) => log.whenApplied(after, { group: 'cache', timeoutMs: 20_000 })))
    const client = new Redis(replica.url)
    expect(JSON.parse((await client.get('product:p2999')) ?? '')).toEqual(product('p2999'))
    client.disconnect()
    second.process.kill('SIGINT')
    expect(await second.ended()).toMatchObject({
      ending: 0,
      stdout: expect.stringMatching(/^Worker .* stopped after .*\.\n$/) as string,
    })
  })

  it('finishes what is at the sink when it is told to stop', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const gate = join(folder, 'opened-in-time')
    const call = new Call(['run', gateConfig, '--json', ...shop.at(namespace)], { env: { GATE: gate } })
    const { position } = await log.append(products.put(product('lamp')))
    await call.says('at the gate')
    call.process.kill('SIGTERM')
    await call.says('"msg":"stopping"')
    writeFileSync(gate, '')
    expect((await call.ended()).ending).toBe(0)
    expect((await log.groups()).map(({ checkpoint }) => checkpoint)).toContain(position)
  })

  it('takes no longer than its budget, and loses nothing by it', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const env = { GATE: join(folder, 'never'), DRAIN_MS: '200' }
    const call = new Call(['run', gateConfig, ...shop.at(namespace)], { env })
    const { position } = await log.append(products.put(product('lamp')))
    await call.says('at the gate')
    call.process.kill('SIGTERM')
    expect((await call.ended()).ending).toBe(0)
    const groups = await log.groups()
    expect(groups.map(({ owner }) => owner)).toEqual([undefined, undefined, undefined, undefined])
    expect(groups.map(({ checkpoint }) => checkpoint)).not.toContain(position)
  })

  it('ends at once at the second signal', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const env = { GATE: join(folder, 'never') }
    const call = new Call(['run', gateConfig, '--json', ...shop.at(namespace)], { env })
    await log.append(products.put(product('lamp')))
    await call.says('at the gate')
    call.process.kill('SIGTERM')
    await call.says('"msg":"stopping"')
    call.process.kill('SIGTERM')
    expect((await call.ended()).ending).toBe(143)
  })

  it('logs that a key was parked, and not the value that the reason quotes', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const gate = join(folder, 'open')
    writeFileSync(gate, '')
    const call = new Call(['run', gateConfig, ...shop.at(namespace)], { env: { GATE: gate } })
    await call.says('took the partition')
    const { position } = await log.append(products.put(product('secret', 123_456)))
    expect(await log.whenApplied(position, { group: 'gated' })).toBe('parked')
    await call.says('parked a key')
    call.process.kill('SIGTERM')
    const { ending, stderr } = await call.ended()
    expect(ending).toBe(0)
    expect(stderr).toMatch(
      / error parked a key event=parked group=gated partition=\d key=secret changes=1 error.code=SINK_REJECTED\n/,
    )
    expect(stderr).not.toContain('123456')
  })

  it('says in one line what is wrong with a config', async () => {
    const configs = {
      'no-groups': `export default { collections: [] }`,
      'no-default': `export const config = {}`,
      misspelt: `export default { collektions: [] }`,
      throwing: `throw new Error('Where is redis://me:s3cret@host?')`,
      broken: `export default {`,
    }
    const told = await Promise.all(
      Object.entries(configs).map(async ([name, source]) => {
        writeFileSync(join(folder, `${name}.config.mjs`), source)
        const ended = await headwater(['run', `${name}.config.mjs`, '--json', ...shop.at(shop.namespace())], {
          cwd: folder,
        })
        expect(ended).toMatchObject({ ending: 1, stderr: '' })
        const { error } = lastLine(ended) as { error: { code: string; message: string } }
        expect(error.code).toBe('CONFIG_INVALID')
        return error.message
      }),
    )
    expect(told[0]).toContain('no groups')
    expect(told[1]).toContain('export by default')
    expect(told[2]).toContain('"collektions"')
    expect(told[3]).toMatch(/cannot be loaded: Where is redis:\/\/\*\*\*@host\?$/)
    expect(told.join('\n')).not.toMatch(/s3cret|\n {4}at /)
  })

  it('asks for a config where there is none', async () => {
    const ended = await headwater(['run'], { cwd: folder })
    expect(ended).toMatchObject({ ending: 2, stdout: '' })
    expect(ended.stderr).toMatch(/^headwater: Which config\? .* \[USAGE\]\n$/)
    const absent = await headwater(['run', 'nowhere.ts'], { cwd: folder })
    expect(absent).toMatchObject({ ending: 1, stdout: '' })
    expect(absent.stderr).toContain(join(folder, 'nowhere.ts'))
  })
})
