import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isIP } from 'node:net'
import { createHash, timingSafeEqual } from 'node:crypto'
import { metrics } from '@opentelemetry/api'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import type { Worker } from '@headwater/core'
import { CliError } from './cli-error.ts'

/** Where a probe server listens. */
export interface ProbeAddress {
  readonly host: string
  readonly port: number
}

/** `9464`, `0.0.0.0:9464` or `[::]:9464`. Whoever names no host means this machine alone. */
export function parseProbeAddress(text: string): ProbeAddress {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:]+)\]:|([^:\s]+):)?(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  if (digits !== undefined && port <= 65_535) return { host: bracketed ?? plain ?? '127.0.0.1', port }
  throw new CliError(
    'USAGE',
    `--http ${JSON.stringify(text)} is no address: give a port, or host:port such as 0.0.0.0:9464.`,
  )
}

/** Who asks has little to say, and says it at once: others must not keep connections. */
const limits = { headersTimeout: 3_000, requestTimeout: 3_000, connectionsCheckingInterval: 500 }
const connectionsMax = 200

/** Where a server is that is asked by any name: whoever chose this wants that. */
const everywhere = new Set(['0.0.0.0', '::'])

/**
 * Answers probes and collectors about one worker: `/healthz`, `/readyz` and `/metrics` (Prometheus). It must be made before
 * the log is opened, since meters are asked for then. It only reads, and answers nothing but GET and HEAD.
 */
export class ProbeServer {
  readonly #exporter = new PrometheusExporter({ preventServerStart: true })
  readonly #measures: boolean
  readonly #server: Server
  readonly #token: Buffer | undefined
  #worker: Worker | undefined
  #host = ''

  /** @param token when given, every request but `/healthz` must bring it as a bearer token */
  constructor(token: string | undefined) {
    if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
      throw new CliError(
        'USAGE',
        'HEADWATER_HTTP_TOKEN must be of visible ASCII characters, without spaces, and not empty: no request could bring another. Without it nothing is guarded.',
      )
    }
    this.#token = token === undefined ? undefined : digestOf(token)
    // A config that has set up an SDK of its own exports by that.
    this.#measures = metrics.setGlobalMeterProvider(new MeterProvider({ readers: [this.#exporter] }))
    this.#server = createServer(limits, (request, response) => this.#answer(request, response))
    this.#server.maxConnections = connectionsMax
  }

  /** @returns the port, which is another one where 0 was asked for */
  async listen({ host, port }: ProbeAddress): Promise<number> {
    this.#host = host.toLowerCase()
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) =>
        reject(new CliError('USAGE', `Nothing can listen at ${host}:${port}: ${error.message}`)),
      )
      this.#server.listen(port, host, resolve)
    })
    // Probes must not keep a worker from ending.
    this.#server.unref()
    const address = this.#server.address()
    return typeof address === 'object' && address ? address.port : port
  }

  /** Until then the process is alive and not ready. */
  watch(worker: Worker): void {
    this.#worker = worker
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    response.setHeader('cache-control', 'no-store')
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD')
      return end(response, 405, { error: 'only GET and HEAD' })
    }
    if (!this.#isMeant(request)) return end(response, 421, { error: 'no such host is here' })
    const [path] = (request.url ?? '/').split('?')
    if (path === '/healthz') {
      const live = this.#worker?.health().live ?? true
      return end(response, live ? 200 : 503, { live })
    }
    if (!this.#allows(request)) {
      response.setHeader('www-authenticate', 'Bearer')
      return end(response, 401, { error: 'a bearer token is needed' })
    }
    if (path === '/readyz') {
      const health = this.#worker?.health() ?? { live: true, ready: false, groups: {} }
      return end(response, health.ready ? 200 : 503, health)
    }
    if (path === '/metrics' && this.#measures)
      return this.#exporter.getMetricsRequestHandler(request, response)
    end(response, 404, { error: 'there are /healthz, /readyz and /metrics' })
  }

  /** A page whose name was made to lead to this machine can have a browser ask us, but only by that name. */
  #isMeant({ headers: { host } }: IncomingMessage): boolean {
    if (host === undefined || everywhere.has(this.#host)) return true
    const [, bracketed, plain = ''] = /^(?:\[([0-9a-f:.]+)\]|([^:]*))(?::\d+)?$/i.exec(host) ?? []
    const name = plain.toLowerCase()
    return isIP(bracketed ?? name) > 0 || name === 'localhost' || (name !== '' && name === this.#host)
  }

  #allows({ headers: { authorization = '' } }: IncomingMessage): boolean {
    if (!this.#token) return true
    const [scheme = '', given = ''] = authorization.split(' ')
    return scheme.toLowerCase() === 'bearer' && timingSafeEqual(digestOf(given), this.#token)
  }
}

/** Of equal length, whatever was given: so that a comparison takes equally long. */
function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function end(response: ServerResponse, status: number, body: object): void {
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'x-content-type-options': 'nosniff',
  })
  response.end(text)
}
