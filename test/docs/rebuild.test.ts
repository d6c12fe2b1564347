import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CachedShop } from './cached-shop.ts'
import { codeBlocks } from './code-blocks.ts'

const blocks = codeBlocks('docs/rebuild.md')
const commands = blocks.filter(({ info, language }) => language === 'sh' && info === 'run')
const outputs = blocks.filter(({ info }) => info === 'output')

let shop: CachedShop
beforeAll(async () => {
  shop = await CachedShop.open()
  await shop.put('lamp', 'desk', 'chair')
})
afterAll(() => shop[Symbol.asyncDispose]())

/** Times differ from run to run, and the log has markers besides the changes. */
const timeless = (text: string): string =>
  text.replaceAll(/\d+(\.\d+)? (s|min)\b/g, '… s').replaceAll(/\d+ changes again/g, '… changes again')

describe('docs/rebuild.md', () => {
  it('has an output for each block of commands', () => {
    expect(commands.length).toBeGreaterThan(2)
    expect(outputs).toHaveLength(commands.length)
  })

  it.each(commands.map(({ code }, at) => [code.trim(), outputs[at]!.code.trim()]))(
    'says what comes of: %s',
    async (code, output) => {
      const lines: string[] = []
      for (const line of code.split('\n')) {
        const [, ...args] = line.split(' ')
        const ended = await shop.call(...args)
        expect(ended).toMatchObject({ ending: 0 })
        lines.push(ended.stdout.split('\n')[0]!)
      }
      expect(timeless(lines.join('\n'))).toBe(timeless(output))
    },
    120_000,
  )
})
