import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { feedHandler, isHeadwaterError, type Log } from '@headwater/core'
import { serve } from '@hono/node-server'
import { buildSync } from 'esbuild'
import { Hono } from 'hono'
import { products } from './products.ts'

/** A page that shows the shelf and lets it be edited, on a port of its own. */
export interface LivePage extends AsyncDisposable {
  readonly port: number
  readonly url: string
}

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

export async function serveLivePage(log: Log, port = 0): Promise<LivePage> {
  const feed = feedHandler(log, { collections: [products], authorize: () => true })
  const html = readFileSync(file('page.html'), 'utf8')
  const script = bundle(file('page.ts'))

  const app = new Hono()
  app.get('/', (context) => context.html(html))
  app.get('/page.js', (context) => context.body(script, 200, { 'content-type': 'text/javascript' }))
  app.get('/feed', (context) => feed(context.req.raw))
  app.post('/products/:sku/take', async (context) => {
    const sku = context.req.param('sku')
    const product = await log.get(products, sku)
    if (!product || product.value.stock === 0) return context.text('sold out', 409)
    try {
      // Whoever took one in the same moment wins, and the page shows it before this answer arrives.
      await log.append(products.patch(sku, { stock: product.value.stock - 1 }), { expected: product.version })
      return context.body(null, 204)
    } catch (error) {
      if (!isHeadwaterError(error, 'VERSION_CONFLICT')) throw error
      return context.text('somebody was faster', 409)
    }
  })

  const server = serve({ fetch: app.fetch, port, hostname: '127.0.0.1' })
  await new Promise<void>((resolve) => server.once('listening', resolve))
  const address = server.address()
  const listening = typeof address === 'object' && address ? address.port : port
  return {
    port: listening,
    url: `http://127.0.0.1:${listening}/`,
    async [Symbol.asyncDispose]() {
      await feed.close()
      await new Promise((resolve) => {
        server.close(resolve)
        if ('closeAllConnections' in server) server.closeAllConnections()
      })
    },
  }
}

function bundle(entry: string): string {
  const { outputFiles } = buildSync({
    entryPoints: [entry],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    conditions: ['@headwater/source'],
    write: false,
  })
  return outputFiles[0]!.text
}
