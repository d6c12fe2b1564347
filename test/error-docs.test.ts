import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { errorCodes } from '@headwater/core'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const page = readFileSync(`${root}/docs/errors.md`, 'utf8')

it('docs/errors.md tells every code, and no other', () => {
  const told = [...page.matchAll(/^## ([A-Z_]+)$/gm)].map(([, code]) => code!)
  expect(new Set(told)).toEqual(new Set(Object.keys(errorCodes)))
})

it('docs/errors.md is what the codes say now', () => {
  const flags = ['--import', 'tsx', 'scripts/error-docs.ts', '--check']
  expect(execFileSync(process.execPath, flags, { cwd: root, encoding: 'utf8' })).toBe('')
})
