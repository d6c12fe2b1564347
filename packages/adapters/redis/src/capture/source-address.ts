import { type Socket, connect as connectPlain } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { HeadwaterError } from '@headwater/core'
import { Redis, type RedisOptions } from 'ioredis'

/** A Redis to capture from, or to: a URL (`redis://`, `rediss://`, `unix://`) or options of ioredis, also for Sentinel. */
export type CaptureServer = string | RedisOptions

/** How long a server may take to accept a connection. */
const CONNECT_TIMEOUT_MS = 5_000

/** As options of ioredis. @throws HeadwaterError OPTION_INVALID */
export function serverOptions(server: CaptureServer): RedisOptions {
  return typeof server === 'string' ? parseUrl(server) : server
}

/** A client for questions: it sends each command once, and does not connect again by itself. */
export async function connectClient(options: RedisOptions, name: string): Promise<Redis> {
  const client = new Redis({
    ...options,
    connectionName: name,
    protocol: 2,
    replyMapping: 'legacy',
    stringNumbers: true,
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: () => null,
    sentinelRetryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
  })
  let reason: Error | undefined
  client.on('error', (error: Error) => (reason = error))
  await client.connect().catch((error: unknown) => {
    client.disconnect()
    // What `connect` rejects with says only that the connection is closed.
    throw reason ?? error
  })
  return client
}

/** Opens a bare connection to the server, for Sentinel to the master that it names now. */
export async function connectSocket(options: RedisOptions): Promise<Socket> {
  const { host, port, path } = options.sentinels ? await findMaster(options) : options
  const address = path ? { path } : { host: host ?? '127.0.0.1', port: port ?? 6379 }
  const { tls } = options
  const socket = tls ? connectTls({ ...address, servername: host, ...tls }) : connectPlain(address)
  socket.setNoDelay(true)
  try {
    await established(socket, tls ? 'secureConnect' : 'connect')
  } catch (error) {
    socket.destroy()
    throw error
  }
  return socket
}

async function findMaster({
  sentinels = [],
  name = '',
  sentinelPassword,
  sentinelUsername,
}: RedisOptions): Promise<RedisOptions> {
  let reason: unknown
  for (const { host, port } of sentinels) {
    try {
      const credentials = { username: sentinelUsername, password: sentinelPassword }
      const sentinel = await connectClient({ host, port, ...credentials }, 'headwater:capture:sentinel')
      try {
        const address = (await sentinel.call('SENTINEL', 'get-master-addr-by-name', name)) as string[] | null
        if (address) return { host: address[0], port: Number(address[1]) }
        reason = new Error(`it knows no master ${JSON.stringify(name)}`)
      } finally {
        sentinel.disconnect()
      }
    } catch (error) {
      reason = error
    }
  }
  throw new Error(
    `no Sentinel names the master: ${reason instanceof Error ? reason.message : 'none is given'}`,
  )
}

function established(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`no connection within ${CONNECT_TIMEOUT_MS} ms`)),
      CONNECT_TIMEOUT_MS,
    )
    socket.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    socket.once(event, () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

function parseUrl(text: string): RedisOptions {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const credentials = {
    ...(url?.username ? { username: decodeURIComponent(url.username) } : {}),
    ...(url?.password ? { password: decodeURIComponent(url.password) } : {}),
  }
  switch (url?.protocol) {
    case 'unix:': {
      const password = url.searchParams.get('password')
      return { ...credentials, ...(password ? { password } : {}), path: decodeURIComponent(url.pathname) }
    }
    case 'redis:':
    case 'rediss:':
      return {
        ...credentials,
        host: url.hostname.replace(/^\[(.*)\]$/, '$1') || '127.0.0.1',
        port: Number(url.port || 6379),
        ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
      }
    default:
      // The text is not repeated: it may hold a password.
      throw new HeadwaterError(
        'OPTION_INVALID',
        'The Redis URL cannot be read. Use redis://host:port, rediss://… or unix:///path/to.sock.',
      )
  }
}
