import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Call, headwater, lastLine, program, terminalCommand } from './headwater.ts'
import { product, Shop } from './shop.ts'

const workspace = fileURLToPath(new URL('../..', import.meta.url))
const commands = [
  'init',
  'dev',
  'run',
  'status',
  'lag',
  'tail',
  'get',
  'history',
  'append',
  'delete',
  'import',
  'export',
  'group',
  'retention',
  'trim',
]

let server: OwnRedisServer
let shop: Shop
let folder: string
beforeAll(async () => {
  server = await startRedis({ own: true, port: true })
  shop = new Shop(server)
  folder = mkdtempSync(join(tmpdir(), 'headwater-arguments-'))
})
afterAll(async () => {
  rmSync(folder, { recursive: true })
  await shop[Symbol.asyncDispose]()
})

describe('headwater', () => {
  it('explains itself on stdout when it is asked to', async () => {
    const help = await headwater(['--help'])
    expect(help).toMatchObject({ ending: 0, stderr: '' })
    for (const command of commands) expect(help.stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'))
    expect(await headwater(['--version'])).toMatchObject({ ending: 0, stdout: '0.1.0\n' })
    const importHelp = await headwater(['import', '--help'])
    for (const option of ['--on-error', '--redis', '--namespace', '--json'])
      expect(importHelp.stdout).toContain(option)
  })

  it('ends with 2 and one line for arguments that it cannot read', async () => {
    const misspelt = await headwater(['statsu'])
    expect(misspelt).toEqual({
      ending: 2,
      stdout: '',
      stderr: "headwater: unknown command 'statsu' (Did you mean status?) [USAGE]\n",
    })
    const option = await headwater(['status', '--namespcae', 'shop'])
    expect(option).toMatchObject({
      ending: 2,
      stderr: "headwater: unknown option '--namespcae' (Did you mean --namespace?) [USAGE]\n",
    })
    const asJson = await headwater(['get', 'products', '--json'])
    expect(asJson).toMatchObject({ ending: 2, stderr: '' })
    expect(lastLine(asJson)).toEqual({ error: { code: 'USAGE', message: "missing required argument 'key'" } })
    const silent = await headwater([])
    expect(silent).toMatchObject({ ending: 2, stdout: '' })
    expect(silent.stderr).toContain('Usage: headwater')
  })

  it('asks for the Redis and the namespace that it was not given', async () => {
    const [noRedis, noNamespace] = await Promise.all([
      headwater(['status', '--namespace', 'shop', '--json']),
      headwater(['status', '--redis', server.url, '--json']),
    ])
    expect(noRedis.ending).toBe(2)
    expect(lastLine(noRedis)).toMatchObject({
      error: { code: 'USAGE', message: expect.stringContaining('REDIS_URL') as string },
    })
    expect(noNamespace.ending).toBe(2)
    expect(lastLine(noNamespace)).toMatchObject({
      error: { code: 'USAGE', message: expect.stringContaining('HEADWATER_NAMESPACE') as string },
    })
  })

  it('takes both from the environment, and from the config file of the folder where nothing else names them', async () => {
    const namespace = shop.namespace()
    await (await shop.connect(namespace)).close()
    const env = { REDIS_URL: server.url, HEADWATER_NAMESPACE: namespace }
    expect(lastLine(await headwater(['status', '--json'], { env }))).toMatchObject({ namespace })

    const project = join(folder, 'project')
    mkdirSync(project)
    const settings = JSON.stringify({ redis: server.url, namespace })
    writeFileSync(join(project, 'headwater.config.mjs'), `export default ${settings}`)
    const fromFile = await headwater(['status', '--json'], { cwd: project })
    expect(lastLine(fromFile)).toMatchObject({ namespace })
    const flagged = await headwater(['status', '--json', '--namespace', 'other'], { cwd: project })
    expect(lastLine(flagged)).toMatchObject({ error: { code: 'NAMESPACE_UNKNOWN' } })
    const without = await headwater(['status', '--json', '--no-config'], { cwd: project })
    expect(without.ending).toBe(2)
  })

  it('prints no password, whatever it says', async () => {
    const namespace = shop.namespace()
    await (await shop.connect(namespace)).close()
    const secret = 's3cret-word'
    const urls = [
      `redis://default:${secret}@${server.host}:${server.port}/0`,
      `redis://default:${secret}@${server.host}:1/0`,
      `redis://default:12/${secret}@${server.host}:${server.port}/0`,
      `redis://default:${secret}@${server.host}:${server.port}/zero`,
      `http://default:${secret}@${server.host}`,
    ]
    const ended = await Promise.all(
      urls.flatMap((url) =>
        [[], ['--json']].map((json) =>
          headwater(['status', '--redis', url, '--namespace', namespace, ...json]),
        ),
      ),
    )
    expect(ended.map(({ ending }) => ending)).toEqual([0, 0, 1, 1, 2, 2, 1, 1, 2, 2])
    for (const { stdout, stderr } of ended) expect(stdout + stderr).not.toContain(secret)
    expect(lastLine(ended[3]!)).toMatchObject({ error: { code: 'REDIS_UNAVAILABLE' } })
  })

  it('finds files where the caller stands, also when pnpm runs it from the root of the workspace', async () => {
    const namespace = shop.namespace()
    const caller = join(folder, 'caller')
    mkdirSync(caller)
    writeFileSync(join(caller, 'records.ndjson'), JSON.stringify(product('lamp')))
    const args = ['import', 'products', 'records.ndjson', '--key', 'sku', '--create', '--json']
    const direct = await headwater([...args, ...shop.at(namespace)], { cwd: caller })
    expect(lastLine(direct)).toMatchObject({ appended: 1 })
    // What pnpm sets for `pnpm headwater …`.
    const env = { INIT_CWD: caller, npm_lifecycle_event: 'headwater' }
    const byScript = await headwater([...args, ...shop.at(namespace)], { cwd: workspace, env })
    expect(lastLine(byScript)).toMatchObject({ appended: 1 })
    // And for a script of the user's own, in whose folder the path is meant.
    const byOther = await headwater([...args, ...shop.at(namespace)], {
      cwd: caller,
      env: { INIT_CWD: folder, npm_lifecycle_event: 'load' },
    })
    expect(lastLine(byOther)).toMatchObject({ appended: 1 })
  })

  it('works when stdin is closed', async () => {
    const namespace = shop.namespace()
    await (await shop.connect(namespace)).close()
    const closed = { program: ['sh', '-c', 'exec "$@" <&-', 'sh', ...program] }
    const status = await headwater(['status', '--json', ...shop.at(namespace)], closed)
    expect(status).toMatchObject({ ending: 0, stderr: '' })
    const empty = await headwater(['import', 'products', '-', '--json', ...shop.at(namespace)], closed)
    expect(empty.ending).toBe(0)
    expect(lastLine(empty)).toMatchObject({ records: 0 })
  })

  it('uses colours on a terminal only, and none where NO_COLOR is set', async () => {
    const namespace = shop.namespace()
    await (await shop.connect(namespace)).close()
    const at = shop.at(namespace)
    await headwater(['append', 'products', JSON.stringify(product('lamp')), '--key', 'sku', ...at])
    const args = ['get', 'products', 'lamp', ...at]
    const escape = '\u001B[2m'
    const plain = await headwater(args)
    expect(plain.stdout).not.toContain('\u001B')
    const onTerminal = await terminal(args, { TERM: 'xterm' })
    expect(onTerminal).toContain(escape)
    const withoutColours = await terminal(args, { TERM: 'xterm', NO_COLOR: '1' })
    expect(withoutColours).toContain('products/lamp')
    expect(withoutColours).not.toContain(escape)
  })

  it('shows on a terminal how far an import is, and when it will be done', async () => {
    const namespace = shop.namespace()
    const file = join(folder, 'many.ndjson')
    writeFileSync(
      file,
      Array.from({ length: 30_000 }, (_, at) => JSON.stringify(product(`p${at}`))).join('\n'),
    )
    const args = ['import', 'products', file, '--key', 'sku', '--create', ...shop.at(namespace)]
    const shown = await terminal(args, { TERM: 'xterm' })
    expect(shown).toContain('\r\u001B[K')
    expect(shown).toMatch(/[\d,]+ records, [\d,]+\/s, \d+ %, .* left/)
    expect(shown).toMatch(/Imported 30,000 of 30,000 records into products in .*\/s\)\./)
  })
})

/** What a call shows on a terminal of its own. */
async function terminal(args: readonly string[], env: Record<string, string>): Promise<string> {
  const call = new Call([], { env, program: terminalCommand(args) })
  const { ending, stdout } = await call.ended()
  expect(ending).toBe(0)
  return stdout
}
