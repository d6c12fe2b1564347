import { existsSync, readFileSync } from 'node:fs'
import { dirname, normalize } from 'node:path'
import { expect, it } from 'vitest'
import { root } from './code-blocks.ts'
import { pages } from './pages.ts'

const textOf = (page: string): string =>
  readFileSync(`${root}${page}`, 'utf8').replaceAll(/^```[^]*?^```$/gm, '')

/** What follows `#` in a link to a heading of this page, as code hosts make it. */
function anchorsOf(page: string): string[] {
  return [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  )
}

it('every link of the documentation leads to a file, and to a heading where it names one', () => {
  const links = pages.flatMap((page) =>
    [...textOf(page).matchAll(/\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)/g)].map(([link, path, anchor]) => ({
      page,
      link,
      target: path ? normalize(`${dirname(page)}/${path}`) : page,
      anchor,
    })),
  )
  expect(links.length).toBeGreaterThan(100)
  const broken = links.filter(
    ({ target, anchor }) =>
      !existsSync(`${root}${target}`) || (anchor !== undefined && !anchorsOf(target).includes(anchor)),
  )
  expect(broken.map(({ page, link }) => `${page}: ${link}`)).toEqual([])
})
