import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { plantedBugs } from './planted-bugs.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** A bug is found within so many small lives, or so many large ones, or it is not found. */
const livesMax = 4_000

let copy: string

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'planted-'))
  await writeFile(join(copy, 'package.json'), '{"type":"module"}')
  for (const folder of ['packages/core/src', 'test/simulation', 'test/support'])
    await cp(join(root, folder), join(copy, folder), { recursive: true })
  for (const modules of ['node_modules', 'packages/core/node_modules', 'test/node_modules'])
    await symlink(join(root, modules), join(copy, modules))
})

afterAll(() => rm(copy, { recursive: true, force: true }))

/** Runs the simulation on sources in which one place is wrong; gives what it found. */
async function findingsWith(file: string, right: string, wrong: string): Promise<string> {
  const path = join(copy, file)
  const source = await readFile(path, 'utf8')
  expect(source.split(right)).toHaveLength(2)
  await writeFile(
    path,
    source.replace(right, () => wrong),
  )
  try {
    const program = join(copy, 'test/simulation/main.ts')
    const options = ['--seed', '1', '--lives', String(livesMax), '--until-failed', '--json']
    await promisify(execFile)(process.execPath, ['--import', 'tsx', program, ...options], { cwd: copy })
    return ''
  } catch (error) {
    return (error as { stderr: string }).stderr
  } finally {
    await writeFile(path, source)
  }
}

describe('the simulation finds', () => {
  it.each(plantedBugs)('%s', async (_, file, right, wrong, finding) => {
    expect(await findingsWith(file, right, wrong)).toMatch(finding)
  })
})
