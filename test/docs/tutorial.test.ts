import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { codeBlocks, root } from './code-blocks.ts'

const blocks = codeBlocks('docs/tutorial.md')
const programs = blocks.filter(({ info }) => info.startsWith('output='))

// A folder of the clone, as the tutorial says: there the packages are found.
let folder: string
beforeAll(() => {
  folder = mkdtempSync(`${root}test/.tutorial-`)
  for (const { info, code } of blocks) {
    const file = /^file=([\w-]+\.ts)$/.exec(info)?.[1]
    if (file) writeFileSync(`${folder}/${file}`, code)
    const copied = info === 'copy' ? /^cp (\S+) \.$/m.exec(code)?.[1] : undefined
    if (copied) copyFileSync(`${root}${copied}`, `${folder}/${copied.split('/').at(-1)}`)
  }
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('the tutorial', () => {
  it.each(programs.map(({ info, code }) => [info.slice('output='.length), code]))(
    'runs from its own blocks, and %s says what stands there',
    async (file, output) => {
      const flags = ['--conditions=@headwater/source', '--import', 'tsx', file]
      const child = spawn(process.execPath, flags, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
      const [said, complaints, [exitCode]] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        once(child, 'exit') as Promise<[number | null]>,
      ])
      expect({ said, complaints, exitCode }).toEqual({ said: output, complaints: '', exitCode: 0 })
    },
    60_000,
  )

  it('shows the output of every program, and names scripts that exist', () => {
    const files = blocks.flatMap(({ info }) => /^file=(.+)$/.exec(info)?.[1] ?? [])
    const imported = new Set(['products.ts', 'account.ts'])
    expect(files.filter((file) => !imported.has(file))).toEqual(
      programs.map(({ info }) => info.slice('output='.length)),
    )
    const { scripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as {
      scripts: Record<string, string>
    }
    const named = blocks.flatMap(({ code }) => /^npx -y pnpm@\S+ (\S+)/m.exec(code)?.[1] ?? [])
    expect(named).toEqual(['demo'])
    expect(scripts).toHaveProperty('demo')
  })
})
