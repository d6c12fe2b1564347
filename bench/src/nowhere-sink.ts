import { applied, type Change, type Sink, type SinkPosition } from '@headwater/core'
import { products, type Product } from './product.ts'

/** A sink that costs nothing, and only keeps where it stands, or all would come again to it: what is left is the worker. */
export function nowhereSink(
  apply: (changes: readonly Change[], signal: AbortSignal) => Promise<void> | void = () => {},
): Sink<Product> {
  const positions = new Map<number, SinkPosition>()
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
    async open({ partition }) {
      return {
        position: positions.get(partition),
        async apply(changes, position, { signal }) {
          await apply(changes, signal)
          positions.set(partition, position)
          return changes.map(() => applied)
        },
        async advance(position) {
          positions.set(partition, position)
        },
        async close() {},
      }
    },
    async close() {},
  }
}
