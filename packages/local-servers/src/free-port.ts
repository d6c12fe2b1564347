import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

// Below the range from which systems take the local ports of outgoing connections (32768 and up): a server that is
// restarted finds its port free, and a client that reconnects to a closed port does not meet itself. A Redis Cluster
// node also needs its port + 10000.
const FIRST_PORT = 10_240
const LAST_PORT = 21_999
const CLUSTER_BUS_OFFSET = 10_000

/**
 * A TCP port of 127.0.0.1 that was free a moment ago, as is the port 10,000 above it. Somebody else may still take it:
 * whoever binds it must be ready to ask again.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1)
    if ((await isFree(port)) && (await isFree(port + CLUSTER_BUS_OFFSET))) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}
