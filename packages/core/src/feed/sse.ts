import type { AnyCollection } from '../collection/collection.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import type { Log } from '../namespace/log.ts'
import { gzipEncoder, plainEncoder } from './event-stream.ts'
import type { FeedChange } from './feed-change.ts'
import { subscriptionOf } from './feed.ts'
import { SseStream } from './sse-stream.ts'
import type { FeedStart } from './subscription.ts'

/** Who asks for what: given to `authorize`, once for each subscription. */
export interface FeedRequest {
  readonly request: Request
  readonly collection: AnyCollection
}

/**
 * What somebody may see: everything or nothing of the collection, the changes that fit, or the answer to send instead
 * (a 401 with its challenge, a redirect).
 */
export type FeedPermission = boolean | { readonly where: (change: FeedChange) => boolean } | Response

export interface FeedHandlerOptions {
  /** What is offered. Without `collection` in the query, the first one is meant. */
  readonly collections: readonly AnyCollection[]
  /** Called for each subscription, also when a client comes back. */
  readonly authorize: (asked: FeedRequest) => FeedPermission | Promise<FeedPermission>
  /** After which silence a comment is sent, so that both ends see whether the other is there, in ms. Default 15,000. */
  readonly heartbeatMs?: number
  /** How many changes may wait for one client before the rest is left in the log. Default 1,000. */
  readonly buffer?: number
  /** Whether to compress for clients that accept gzip. Default true. */
  readonly compress?: boolean
  /** How many subscriptions at most; more are answered with 503. Default 10,000. */
  readonly subscriptionsMax?: number
}

/** Serves a feed over HTTP as server-sent events. Call it with a `Request` from any framework. */
export interface FeedHandler extends AsyncDisposable {
  (request: Request): Promise<Response>
  /** How many subscriptions are open. */
  readonly subscriptions: number
  /** Ends all streams, telling their clients when to come back, and answers 503 from now on. */
  close(): Promise<void>
}

const keysMax = 1_000
const everything = (): boolean => true

/**
 * `GET …?collection=products&from=snapshot&key=a&key=b&prefix=c`: `from` is `snapshot` (the default), `now`, `beginning` or
 * a position, which a `Last-Event-ID` replaces; `key` and `prefix` select keys.
 *
 * @throws HeadwaterError OPTION_INVALID
 */
export function feedHandler(log: Log, options: FeedHandlerOptions): FeedHandler {
  const {
    collections,
    authorize,
    heartbeatMs = 15_000,
    buffer,
    compress = true,
    subscriptionsMax = 10_000,
  } = options
  if (collections.length === 0)
    throw new HeadwaterError('OPTION_INVALID', 'collections of a feed handler is empty.')
  if (typeof authorize !== 'function') {
    throw new HeadwaterError(
      'OPTION_INVALID',
      'authorize must be a function; `() => true` opens a feed to everybody.',
    )
  }
  if (!Number.isInteger(heartbeatMs) || heartbeatMs < 10 || heartbeatMs > 3_600_000) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `heartbeatMs ${String(heartbeatMs)} must be an integer from 10 to 3,600,000.`,
    )
  }
  for (const [name, value] of Object.entries({ buffer: buffer ?? 1, subscriptionsMax })) {
    if (Number.isInteger(value) && value >= 1 && value <= 1_000_000) continue
    throw new HeadwaterError(
      'OPTION_INVALID',
      `${name} ${String(value)} must be an integer from 1 to 1,000,000.`,
    )
  }
  const streams = new Set<SseStream>()
  let closed = false

  const handle = async (request: Request): Promise<Response> => {
    if (request.method !== 'GET')
      return refusal(405, 'OPTION_INVALID', 'A feed is read with GET.', { allow: 'GET' })
    const { searchParams } = new URL(request.url)
    const name = searchParams.get('collection') ?? collections[0]!.name
    const collection = collections.find((offered) => offered.name === name)
    if (!collection) return refusal(404, 'COLLECTION_UNKNOWN', 'This feed has no such collection.')
    const permission = await authorize({ request, collection })
    if (permission instanceof Response) return permission
    // Whatever says neither yes nor which changes, says no.
    const allowed = permission === true ? everything : (permission || undefined)?.where
    if (typeof allowed !== 'function') return refusal(403, 'FORBIDDEN', 'You may not follow this collection.')
    if (closed || streams.size >= subscriptionsMax) {
      return refusal(503, 'UNAVAILABLE', 'This server takes no more subscriptions now.', {
        'retry-after': '5',
      })
    }
    const selected = selection(searchParams)
    if (selected === 'too many')
      return refusal(400, 'OPTION_INVALID', `At most ${keysMax} keys can be selected.`)
    const from = (request.headers.get('last-event-id') || searchParams.get('from') || 'snapshot') as FeedStart
    const gzip = compress && acceptsGzip(request)
    let stream: SseStream
    try {
      const feed = log.feed(collection, {
        from,
        ...(buffer !== undefined && { buffer }),
        ...((selected || allowed !== everything) && {
          where: (change) => (selected?.(change) ?? true) && allowed(change),
        }),
      })
      stream = new SseStream({
        subscription: subscriptionOf(feed),
        encoder: gzip ? gzipEncoder() : plainEncoder(),
        heartbeatMs,
        onEnd: () => streams.delete(stream),
      })
    } catch (error) {
      if (!isHeadwaterError(error)) throw error
      return refusal(error.code === 'CLOSED' ? 503 : 400, error.code, error.message)
    }
    streams.add(stream)
    request.signal.addEventListener('abort', () => stream.cancel(), { once: true })
    return new Response(stream.body, {
      headers: {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store, no-transform',
        // Proxies that buffer would hold events back.
        'x-accel-buffering': 'no',
        vary: 'accept-encoding',
        ...(gzip && { 'content-encoding': 'gzip' }),
      },
    })
  }

  const close = async (): Promise<void> => {
    closed = true
    await Promise.all([...streams].map((stream) => stream.end()))
  }
  return Object.defineProperty(
    Object.assign(handle, { close, [Symbol.asyncDispose]: close }),
    'subscriptions',
    {
      get: () => streams.size,
    },
  ) as unknown as FeedHandler
}

/** Keys never change, so that a selection by key is exact. */
function selection(query: URLSearchParams): ((change: FeedChange) => boolean) | undefined | 'too many' {
  const keys = new Set(query.getAll('key'))
  const prefixes = query.getAll('prefix')
  if (keys.size + prefixes.length > keysMax) return 'too many'
  if (keys.size === 0 && prefixes.length === 0) return undefined
  return ({ key }) => keys.has(key) || prefixes.some((prefix) => key.startsWith(prefix))
}

function acceptsGzip({ headers }: Request): boolean {
  return (headers.get('accept-encoding') ?? '')
    .split(',')
    .some((coding) => /^\s*(?:gzip|\*)\s*(?:;\s*q=(?:1(?:\.0*)?|0\.\d*[1-9]\d*)\s*)?$/.test(coding))
}

function refusal(
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): Response {
  return Response.json({ code, message }, { status, headers: { 'cache-control': 'no-store', ...headers } })
}
