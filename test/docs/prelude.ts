// What the examples of the documentation take for granted: a block that uses one of these names without declaring it is
// checked as if it imported it from here.
import { defineCollection, feedHandler as handler, type Collection, type Log } from '@headwater/core'
import { z } from 'zod'

export interface Product {
  sku: string
  name: string
  priceCents: number
}

export const products: Collection<Product> = defineCollection('products', {
  schema: z.object({ sku: z.string(), name: z.string(), priceCents: z.int() }),
  key: ({ sku }) => sku,
})
export const feedHandler: typeof handler = handler
export declare const log: Log
export declare const signal: AbortSignal
export declare const shelf: Map<string, Product | undefined>
export declare const app: {
  get(path: string, handler: (context: { req: { raw: Request } }) => Response | Promise<Response>): void
}
export declare function userOf(request: Request): Promise<{ mayRead(key: string): boolean } | undefined>
export declare function token(): string
export declare function show(key: string, value: Product): void
