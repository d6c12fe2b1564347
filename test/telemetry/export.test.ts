import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { notes } from '@headwater/conformance'
import { connect, memorySink, startWorker } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { context, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { registerSdk } from './otel.ts'

interface OtlpSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[]
}

interface OtlpExport {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[]
  }[]
}

const urlOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

it('one trace goes from a request over its append into two sinks, in what a collector receives', async () => {
  const spans: OtlpSpan[] = []
  const collector = createServer((request, response) => {
    void json(request).then((body) => {
      const { resourceSpans } = body as OtlpExport
      spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((of) => of.spans)))
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
  }).listen(0, '127.0.0.1')
  await once(collector, 'listening')
  const sdk = registerSdk(new OTLPTraceExporter({ url: `${urlOf(collector)}/v1/traces` }))
  await using redis = await startRedis()
  const log = await connect(redis.options, {
    namespace: `${redis.namespacePrefix}${randomUUID()}`,
    collections: [notes],
  })
  const [cache, search] = [memorySink({ collection: notes }), memorySink({ collection: notes })]
  const worker = await startWorker(log, { groups: { cache, search } })
  const application = createServer((_, response) => {
    const span = trace.getTracer('shop').startSpan('POST /notes', { kind: SpanKind.SERVER })
    void context.with(trace.setSpan(ROOT_CONTEXT, span), async () => {
      await log.append(notes.put({ id: 'a', content: 'the payload stays out of traces' }))
      span.end()
      response.end()
    })
  }).listen(0, '127.0.0.1')
  await once(application, 'listening')
  try {
    await fetch(urlOf(application), { method: 'POST' })
    await eventually(() => {
      expect(spans.filter(({ name }) => name === `process ${log.namespace}`)).toHaveLength(2)
      expect(spans.map(({ name }) => name)).toContain('POST /notes')
    })
    const request = spans.find(({ name }) => name === 'POST /notes')!
    const append = spans.find(({ name }) => name === `send ${log.namespace}`)!
    expect(append).toMatchObject({ traceId: request.traceId, parentSpanId: request.spanId })
    const applies = spans.filter(({ name }) => name === `process ${log.namespace}`)
    for (const { links, ...span } of applies) {
      expect(span).toMatchObject({ traceId: request.traceId, parentSpanId: append.spanId })
      expect(links).toMatchObject([{ traceId: request.traceId, spanId: append.spanId }])
    }
    const groups = applies.map(
      ({ attributes }) =>
        attributes.find(({ key }) => key === 'messaging.consumer.group.name')!.value.stringValue,
    )
    expect(new Set(groups)).toEqual(new Set(['cache', 'search']))
    expect(JSON.stringify(spans)).not.toContain('payload')
  } finally {
    await worker.stop()
    await log.close()
    application.close()
    await sdk.stop()
    collector.close()
  }
})
