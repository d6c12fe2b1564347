import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { callerPath } from '../caller-path.ts'
import { CliError } from '../cli-error.ts'
import type { Invocation } from '../invocation.ts'

const template = fileURLToPath(new URL('../../project/', import.meta.url))

/** Name in the template, and in the project where that is another: no registry takes a `.gitignore` along. */
const files = [
  ['package.json', 'package.json'],
  ['tsconfig.json', 'tsconfig.json'],
  ['gitignore', '.gitignore'],
  ['README.md', 'README.md'],
  ['shop.ts', 'shop.ts'],
  ['headwater.config.ts', 'headwater.config.ts'],
  ['append.ts', 'append.ts'],
] as const

/** Our packages that the project uses, beside those that it brings from elsewhere. */
const ours = {
  dependencies: ['@headwater/core', '@headwater/redis'],
  devDependencies: ['@headwater/cli', '@headwater/local-servers'],
} as const

/** Writes a small project that runs into a folder. Overwrites nothing: where one of its files exists, none is written. */
export async function init({ output }: Invocation, path: string, version: string): Promise<void> {
  const folder = callerPath(path)
  const names = files.map(([, name]) => name)
  const taken = names.find((name) => existsSync(join(folder, name)))
  if (taken !== undefined) {
    throw new CliError('FILE_UNWRITABLE', `${join(folder, taken)} exists already: name an empty folder.`)
  }
  try {
    await mkdir(folder, { recursive: true })
    for (const [from, to] of files) {
      if (to === 'package.json') await writeFile(join(folder, to), await manifest(folder, version))
      else await copyFile(join(template, from), join(folder, to))
    }
  } catch (error) {
    throw new CliError('FILE_UNWRITABLE', `The project cannot be written: ${(error as Error).message}.`, {
      cause: error,
    })
  }
  const enter = path === '.' ? '' : `cd ${/\s/.test(path) ? JSON.stringify(path) : path} && `
  await output.result({ folder, files: names }, () =>
    [
      `A project is in ${folder}. Now:`,
      `  ${enter}npm install`,
      '  npm run dev       # a Redis, a worker, and the log as it moves',
      '  npm run append    # in another terminal',
    ].join('\n'),
  )
}

async function manifest(folder: string, version: string): Promise<string> {
  const given = JSON.parse(await readFile(join(template, 'package.json'), 'utf8')) as Record<string, object>
  const withOurs = (kind: keyof typeof ours): object => {
    const own = ours[kind].map((name) => [name, `^${version}`] as const)
    return Object.fromEntries(
      [...own, ...Object.entries(given[kind]!)].toSorted(([a], [b]) => (a < b ? -1 : 1)),
    )
  }
  const name = basename(folder)
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
  const dependencies = withOurs('dependencies')
  const devDependencies = withOurs('devDependencies')
  return `${JSON.stringify({ name, ...given, dependencies, devDependencies }, undefined, 2)}\n`
}
