import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FeedHandler } from '@headwater/core'
import { getRequestListener } from '@hono/node-server'

/** A feed handler behind a real HTTP server on a port of its own. */
export interface FeedServer extends AsyncDisposable {
  readonly url: string
  readonly host: string
  readonly port: number
  readonly server: Server
}

export async function serveFeed(handler: FeedHandler): Promise<FeedServer> {
  const listener = getRequestListener(handler)
  const server = createServer((request, response) => void listener(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/feed`,
    host: '127.0.0.1',
    port,
    server,
    async [Symbol.asyncDispose]() {
      await handler.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
