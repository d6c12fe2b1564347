import { makeProduct, type Product } from './src/product.ts'
import { serve } from './src/serve.ts'

const parseCalls = {
  /** CPU time of one JSON.parse of a product of so many bytes, in µs, with what its garbage costs. */
  parse(count: number, bytes: number): number {
    const texts = Array.from({ length: count }, (_, key) => JSON.stringify(makeProduct(key, bytes)))
    parseAll(texts)
    const before = process.cpuUsage()
    parseAll(texts)
    const { user, system } = process.cpuUsage(before)
    return (user + system) / count
  },
}

export type ParseCalls = typeof parseCalls

serve(parseCalls)

/** Looks at what it parsed, so that no parse can be left out. */
function parseAll(texts: readonly string[]): void {
  let keys = 0
  for (const text of texts) keys += (JSON.parse(text) as Product).id.length
  if (keys === 0) throw new Error('There was nothing to parse.')
}
