import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface CodeBlock {
  /** From the root of the project. */
  readonly page: string
  readonly line: number
  readonly language: string
  /** What stands behind the language. */
  readonly info: string
  readonly code: string
}

/** The fenced code blocks of a page, in their order. */
export function codeBlocks(page: string): CodeBlock[] {
  const text = readFileSync(`${root}${page}`, 'utf8')
  return [...text.matchAll(/^```(\w+) ?(.*)\n([^]*?)^```$/gm)].map((match) => ({
    page,
    line: text.slice(0, match.index).split('\n').length,
    language: match[1]!,
    info: match[2]!.trim(),
    code: match[3]!,
  }))
}
