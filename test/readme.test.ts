import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { startPostgres, startRedis } from '@headwater/local-servers'
import { expect, it } from 'vitest'

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

it('the example of the README is the quick start that is type-checked', () => {
  const [, example] = /```ts quick-start\n(.*?)```/s.exec(read('README.md')) ?? []
  expect(example).toBe(read('examples/quick-start/main.ts'))
})

it('the quick start runs as it stands there', async () => {
  await using logServer = await startRedis()
  await using cacheServer = await startRedis({ own: true })
  await using postgres = await startPostgres()
  // Only where the servers are differs from what a reader would run.
  const program = read('examples/quick-start/main.ts')
    .replace("'redis://localhost:6379'", JSON.stringify(logServer.url))
    .replace("new Redis('redis://localhost:6380')", `new Redis(${JSON.stringify(cacheServer.options)})`)
    .replace('new Pool()', `new Pool(${JSON.stringify(postgres.connection)})`)
  expect(program).not.toContain('localhost')

  const file = new URL('../examples/quick-start/running-process.ts', import.meta.url)
  // The clients of the example are the caller's, and stay open: a server would go on, the test ends.
  writeFileSync(file, `${program}\nprocess.exit()\n`)
  try {
    const flags = ['--conditions=@headwater/source', '--import', 'tsx', file.pathname]
    const child = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'pipe'] })
    const [output, complaints, [exitCode]] = (await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'exit'),
    ])) as [string, string, [number]]
    expect({ output, complaints, exitCode }).toEqual({
      output: '1 keys agree\n',
      complaints: '',
      exitCode: 0,
    })
  } finally {
    rmSync(file)
  }
})
