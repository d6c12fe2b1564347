import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'

const example = new URL('../../examples/redis-to-postgres/', import.meta.url)

it('hashes of a Redis are rows in Postgres, live and after restarts of everything, as the page says', async () => {
  const flags = ['--conditions=@headwater/source', '--import', 'tsx', new URL('main.ts', example).pathname]
  const child = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'pipe'] })
  const [output, complaints, [exitCode]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ])
  expect({ complaints, exitCode }).toEqual({ complaints: '', exitCode: 0 })
  const [, promised] = /```\n(copied[^`]*)```/.exec(readFileSync(new URL('README.md', example), 'utf8'))!
  expect(output).toBe(promised)
})
