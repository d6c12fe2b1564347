import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { codeBlocks, root, type CodeBlock } from './code-blocks.ts'
import { pages } from './pages.ts'

const blocks = pages.flatMap(codeBlocks).filter(({ language }) => language === 'ts')
const prelude = readFileSync(new URL('./prelude.ts', import.meta.url), 'utf8')
const preludeNames = [...prelude.matchAll(/^export (?:declare )?(?:const|function|interface) (\w+)/gm)].map(
  ([, name]) => name!,
)

it('every TypeScript block of the documentation compiles', () => {
  expect(blocks.length).toBeGreaterThan(10)
  const folder = mkdtempSync(`${root}test/.docs-`)
  try {
    writeFileSync(join(folder, 'prelude.ts'), prelude)
    const places = new Map<string, CodeBlock>()
    for (const [index, block] of blocks.entries()) {
      const file = fileOf(block, index)
      mkdirSync(join(folder, file, '..'), { recursive: true })
      writeFileSync(join(folder, file), withPrelude(block, file))
      places.set(file, block)
    }
    // What pages import beside their own blocks.
    for (const file of places.keys()) {
      const beside = join(folder, file, '..')
      if (!readdirSync(beside).includes('products.ts'))
        writeFileSync(join(beside, 'products.ts'), `export { products } from '${depthOf(file)}prelude.ts'\n`)
      writeFileSync(
        join(beside, 'hash-sink.ts'),
        readFileSync(`${root}examples/write-an-adapter/hash-sink.ts`, 'utf8'),
      )
    }
    const config = {
      extends: '../../tsconfig.program.json',
      // Some blocks are for browsers.
      compilerOptions: { incremental: false, lib: ['es2023', 'es2024.string', 'dom', 'dom.iterable'] },
      include: ['**/*.ts'],
    }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
    expect(complaintsOf(folder)).toBe('')
  } finally {
    rmSync(folder, { recursive: true })
  }
}, 60_000)

/** Blocks with a file name lie together, as their page says; each of the others is a module of its own. */
function fileOf({ page, info }: CodeBlock, index: number): string {
  const name = page.replaceAll(/\W+/g, '-')
  return `${name}/${/^file=(\S+)$/.exec(info)?.[1] ?? `block-${index}.ts`}`
}

const depthOf = (file: string): string => '../'.repeat(file.split('/').length - 1)

function withPrelude({ code, page, line }: CodeBlock, file: string): string {
  const used = preludeNames.filter(
    (name) =>
      new RegExp(`\\b${name}\\b`).test(code) &&
      !new RegExp(`(?:const|using|function|interface|let|class|import \\{[^}]*)\\s*\\b${name}\\b`).test(code),
  )
  const names = used.map((name) => (/^[A-Z]/.test(name) ? `type ${name}` : name)).join(', ')
  const imports = used.length > 0 ? `import { ${names} } from '${depthOf(file)}prelude.ts'\n` : ''
  return `// ${page}:${line}\n${imports}${code}\nexport {}\n`
}

function complaintsOf(folder: string): string {
  try {
    return execFileSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-p', folder], {
      encoding: 'utf8',
    })
  } catch (error) {
    return (error as { stdout: string }).stdout
  }
}
