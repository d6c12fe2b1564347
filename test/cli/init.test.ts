import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { Call, everyLine, headwater, lastLine, program } from './headwater.ts'

const workspace = fileURLToPath(new URL('../..', import.meta.url))

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-init-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return String(port)
}

/** What `npm install` does, with the packages of this workspace; `pnpm check` does it with those that users get. */
function linkPackages(project: string): void {
  symlinkSync(join(workspace, 'test/node_modules'), join(project, 'node_modules'))
}

describe('headwater init', () => {
  it(
    'writes a project that runs: a Redis, a worker, the log, and a copy that follows',
    { timeout: 60_000 },
    async () => {
      const project = join(folder, 'My Shop')
      const written = await headwater(['init', project, '--json'])
      expect(written).toMatchObject({ ending: 0, stderr: '' })
      const { files } = lastLine(written) as { files: string[] }
      expect(readdirSync(project).toSorted()).toEqual(files.toSorted())
      linkPackages(project)
      const port = await freePort()
      const dev = new Call(['dev', '--port', port], { cwd: project })
      await dev.says(`A Redis for now at redis://127.0.0.1:${port}, namespace shop, groups cache.`)
      const append = new Call([], {
        cwd: project,
        env: { REDIS_URL: `redis://127.0.0.1:${port}` },
        program: [...program.slice(0, -1), join(project, 'append.ts')],
      })
      const appended = await append.ended()
      expect(appended.stderr).toBe('')
      expect(appended.stdout).toMatch(
        /^lamp is at version 1\nthe copy has \{"name":"Lamp",.*"sku":"lamp"\}\n$/,
      )
      await dev.says('products/lamp  1  {"name":"Lamp"')
      const verified = await headwater(['verify'], {
        cwd: project,
        env: { REDIS_URL: `redis://127.0.0.1:${port}` },
      })
      expect(verified.stdout).toMatch(/^cache: equal/)

      dev.process.kill('SIGINT')
      const ended = await dev.ended()
      expect(ended.ending).toBe(0)
      expect(ended.stdout).toMatch(/1 changes; all of it is gone now\.\n$/)
      const gone = await headwater(['status', '--json', '--redis', `redis://127.0.0.1:${port}`], {
        cwd: project,
      })
      expect(lastLine(gone)).toMatchObject({ error: { code: 'REDIS_UNAVAILABLE' } })
    },
  )

  it('asks for the packages that this workspace is tested with', () => {
    const manifest = JSON.parse(
      readFileSync(join(workspace, 'packages/cli/project/package.json'), 'utf8'),
    ) as {
      dependencies: Record<string, string>
      devDependencies: Record<string, string>
    }
    const catalog = readFileSync(join(workspace, 'pnpm-workspace.yaml'), 'utf8')
    for (const [name, range] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }))
      expect(catalog).toContain(`${name.startsWith('@') ? `'${name}'` : name}: ${range.slice(1)}\n`)
  })

  it('writes nothing where one of its files exists', async () => {
    const taken = mkdtempSync(join(folder, 'taken-'))
    writeFileSync(join(taken, 'shop.ts'), '// mine')
    const ended = await headwater(['init', '--json'], { cwd: taken })
    expect(ended.ending).toBe(1)
    expect(lastLine(ended)).toMatchObject({
      error: {
        code: 'FILE_UNWRITABLE',
        message: expect.stringContaining('shop.ts exists already') as string,
      },
    })
    expect(readdirSync(taken)).toEqual(['shop.ts'])
  })
})

describe('headwater dev', () => {
  it('works without a config, and shows what any program appends', async () => {
    const dev = new Call(['dev', '--json'])
    const url = await eventually(
      () => {
        expect(dev.stderr).toContain('namespace dev, no groups')
        const [, told] = /REDIS_URL=(\S+)\s/.exec(dev.stderr) ?? []
        expect(told).toBeDefined()
        return told!
      },
      { timeoutMs: 20_000 },
    )
    const note = JSON.stringify({ id: 'a', text: 'hello' })
    const at = ['--redis', url, '--namespace', 'dev', '--create', '--json']
    expect(lastLine(await headwater(['append', 'notes', note, ...at]))).toMatchObject({ key: 'a' })
    await dev.says('"value":{"id":"a","text":"hello"}')
    dev.process.kill('SIGTERM')
    const ended = await dev.ended()
    expect(ended.ending).toBe(0)
    expect(everyLine(ended)).toEqual([{ url, namespace: 'dev', changes: 1 }])
  })

  it('takes no Redis of somebody else', async () => {
    const ended = await headwater(['dev', '--redis', 'redis://127.0.0.1:1', '--json'])
    expect(ended.ending).toBe(2)
    expect(lastLine(ended)).toMatchObject({ error: { code: 'USAGE' } })
  })
})
