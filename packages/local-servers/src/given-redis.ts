import { randomUUID } from 'node:crypto'
import type { RedisOptions } from 'ioredis'
import { keeperLink } from './keeper-link.ts'
import { LocalServerError } from './local-server-error.ts'
import type { RedisServer } from './redis.ts'
import { withRedis } from './with-redis.ts'

const SCAN_COUNT = 1_000

/** Works on a server that is not ours, in keys whose names hold a prefix that nobody else has. */
export async function useGivenRedis(url: string): Promise<RedisServer> {
  const namespacePrefix = `local-${randomUUID()}-`
  const keeper = await keeperLink()
  await keeper.borrow({ what: 'redis keys', url, name: namespacePrefix })
  let stopped: Promise<void> | undefined
  const stop = () =>
    (stopped ??= deleteKeys(url, namespacePrefix).then(() => keeper.giveBack(namespacePrefix)))
  return {
    own: false,
    url,
    get options() {
      return redisOptions(url)
    },
    namespacePrefix,
    kill: refuse,
    restart: refuse,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** Deletes every key whose name holds `part`, wherever an application put it into the name. */
export async function deleteKeys(url: string, part: string): Promise<void> {
  await withRedis(redisOptions(url), async (client) => {
    const scan: AsyncIterable<string[]> = client.scanStream({ match: `*${part}*`, count: SCAN_COUNT })
    for await (const keys of scan) {
      if (keys.length > 0) await client.unlink(keys)
    }
  })
}

function redisOptions(text: string): RedisOptions {
  const url = new URL(text)
  const credentials = {
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
  }
  if (url.protocol === 'unix:') return { ...credentials, path: decodeURIComponent(url.pathname) }
  return {
    ...credentials,
    host: url.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1',
    port: Number(url.port || 6379),
    db: Number(url.pathname.slice(1)),
    ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
  }
}

async function refuse(): Promise<never> {
  throw new LocalServerError(
    'NOT_OURS',
    'The server of REDIS_URL takes no signals from here. Ask for a server of our own: startRedis({ own: true }).',
  )
}
