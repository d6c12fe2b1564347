import { applied, type Change, type Sink } from '@headwater/core'
import { products, type Product } from './product.ts'

/** A sink that costs nothing: what is left is the worker. */
export function nowhereSink(
  apply: (changes: readonly Change[], signal: AbortSignal) => Promise<void> | void = () => {},
): Sink<Product> {
  return {
    name: 'nowhere',
    collection: products,
    capabilities: {
      transactions: false,
      list: false,
      read: false,
      concurrency: 1,
      batch: { changes: 500, bytes: 1_048_576 },
    },
    async open() {
      return {
        position: undefined,
        async apply(changes, _position, { signal }) {
          await apply(changes, signal)
          return changes.map(() => applied)
        },
        async advance() {},
        async close() {},
      }
    },
    async close() {},
  }
}
