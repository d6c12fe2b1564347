import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const program = fileURLToPath(new URL('heap-process.ts', import.meta.url))

function mostHeap(how: 'small' | 'left alone'): number {
  const args = ['--conditions=@headwater/source', '--import', 'tsx', program, how]
  return Number(execFileSync(process.execPath, args, { encoding: 'utf8' }))
}

it("a worker's process needs less memory than V8 left alone would let it have", () => {
  expect(mostHeap('small')).toBeLessThan(0.9 * mostHeap('left alone'))
})
