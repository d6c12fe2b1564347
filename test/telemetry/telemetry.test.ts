import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { notes } from '@headwater/conformance'
import {
  connect,
  HeadwaterError,
  memorySink,
  reject,
  retry,
  stale,
  startWorker,
  type Log,
  type Sink,
} from '@headwater/core'
import { startRedis, type RedisServer } from '@headwater/local-servers'
import { context, createTraceState, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api'
import { InMemorySpanExporter, type ReadableSpan } from '@opentelemetry/sdk-trace'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import * as names from '../../packages/core/src/telemetry/attribute-names.ts'
import { eventually } from '../support/eventually.ts'
import { registerSdk, type RegisteredSdk } from './otel.ts'

const exporter = new InMemorySpanExporter()
let sdk: RegisteredSdk
let server: RedisServer
beforeAll(async () => {
  sdk = registerSdk(exporter)
  server = await startRedis()
})
afterAll(async () => {
  await server.stop()
  await sdk.stop()
})
beforeEach(() => exporter.reset())

const openLog = (): Promise<Log> =>
  connect(server.options, {
    namespace: `${server.namespacePrefix}${randomUUID()}`,
    collections: [notes],
    partitions: 1,
  })

const put = (id: string) => notes.put({ id, content: 1 })

const spansOf = (log: Log, operation: 'send' | 'process'): ReadableSpan[] =>
  exporter.getFinishedSpans().filter(({ name }) => name === `${operation} ${log.namespace}`)

async function counted(log: Log, name: string): Promise<Record<string, unknown>> {
  const points = (await sdk.measured(name)).filter(
    ({ attributes }) => attributes['messaging.destination.name'] === log.namespace,
  )
  const named = points.map(({ attributes, value }) => {
    return [String(attributes['headwater.outcome'] ?? attributes['headwater.lease']), value] as const
  })
  return Object.fromEntries(named) as Record<string, unknown>
}

describe('an append', () => {
  it('is a span under that of its caller, with the names that the conventions give', async () => {
    await using log = await openLog()
    const request = trace.getTracer('test').startSpan('request')
    const result = await context.with(trace.setSpan(ROOT_CONTEXT, request), () =>
      log.append(notes.put({ id: 'a', content: 1 })),
    )
    request.end()
    const [span] = spansOf(log, 'send')
    expect(span!.kind).toBe(SpanKind.PRODUCER)
    expect(span!.parentSpanContext?.spanId).toBe(request.spanContext().spanId)
    expect(span!.attributes).toEqual({
      'messaging.system': 'redis',
      'messaging.system.name': 'redis',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.destination.name': log.namespace,
      'messaging.destination.partition.id': '0',
      'headwater.position': result.position,
      'headwater.version': '1',
    })
  })

  it('leaves its context with each of its changes, also where another of the batch is refused', async () => {
    await using log = await openLog()
    await log.append(put('a'))
    const parent = trace.setSpanContext(ROOT_CONTEXT, {
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      traceFlags: 1,
      traceState: createTraceState('vendor=1,other=2'),
    })
    const [, , last] = await Promise.allSettled([
      log.append(put('a'), { expected: 'absent' }),
      context.with(parent, () => log.append([put('b'), put('c')])),
      log.append(put('d')),
    ])
    const traces: Record<string, string | undefined> = {}
    for await (const { key, trace } of log.read(0)) traces[key] = trace
    const sent = spansOf(log, 'send')
    const sentWith = (name: string, value: unknown) => sent.find((span) => span.attributes[name] === value)!
    const refused = sentWith('error.type', 'VERSION_CONFLICT').spanContext()
    const many = sentWith('messaging.batch.message_count', 2).spanContext()
    const position = last.status === 'fulfilled' ? last.value.position : 'refused'
    const alone = sentWith('headwater.position', position).spanContext()
    expect(traces['b']).toBe(`00-${many.traceId}-${many.spanId}-01 vendor=1,other=2`)
    expect(many.traceId).toBe('0af7651916cd43dd8448eb211c80319c')
    expect(traces['c']).toBe(traces['b'])
    expect(traces['d']).toBe(`00-${alone.traceId}-${alone.spanId}-01`)
    expect(JSON.stringify(traces)).not.toContain(refused.spanId)
  })

  it('is counted and timed, with what went wrong', async () => {
    await using log = await openLog()
    await log.append([1, 2, 3].map((content) => notes.put({ id: `${content}`, content })))
    await log.append(notes.put({ id: '1', content: 1 }), { expected: 'absent' }).catch(() => {})
    const of = async (name: string) =>
      (await sdk.measured(name)).filter(
        ({ attributes }) => attributes['messaging.destination.name'] === log.namespace,
      )
    expect((await of('messaging.client.sent.messages')).map(({ value }) => value)).toEqual([3])
    const durations = await of('messaging.client.operation.duration')
    expect(durations.map(({ attributes }) => attributes['error.type'])).toEqual([
      undefined,
      'VERSION_CONFLICT',
    ])
    expect((await of('headwater.append.batch.size')).map(({ value }) => value)).toMatchObject([
      { sum: 4, count: 2 },
    ])
    expect(await of('headwater.durability.replicas')).toMatchObject([
      { value: 0, attributes: { 'headwater.durability': 'memory' } },
    ])
  })
})

describe('an applied batch', () => {
  it('is a span of its own that links to the appends, and the parent of what the sink does', async () => {
    await using log = await openLog()
    await Promise.all(
      Array.from({ length: 200 }, (_, index) => log.append(notes.put({ id: `n${index}`, content: index }))),
    )
    const sink = memorySink({ collection: notes })
    const inner: (string | undefined)[] = []
    const watched: Sink = {
      ...sink,
      async open(options) {
        const opened = await sink.open(options)
        return {
          ...opened,
          apply: async (...given) => {
            inner.push(trace.getActiveSpan()?.spanContext().spanId)
            return await opened.apply(...given)
          },
        }
      },
    }
    await using worker = await startWorker(log, { groups: { copy: watched } })
    await eventually(() => expect(sink.entries().size).toBe(200))
    expect(worker.name).toBeTruthy()
    const spans = spansOf(log, 'process')
    expect(inner).toEqual(spans.map((span) => span.spanContext().spanId))
    const [first] = spans
    expect(first!.kind).toBe(SpanKind.CONSUMER)
    expect(first!.parentSpanContext).toBeUndefined()
    expect(first!.attributes).toMatchObject({
      'messaging.operation.name': 'process',
      'messaging.consumer.group.name': 'copy',
      'messaging.destination.partition.id': '0',
      'headwater.attempt': 1,
      'headwater.position': '0:1-1',
    })
    const sent = new Set(spansOf(log, 'send').map((span) => span.spanContext().spanId))
    const links = spans.map((span) => span.links.map((link) => link.context.spanId))
    for (const of of links) expect(of.length).toBeLessThanOrEqual(128)
    for (const id of links.flat()) expect(sent).toContain(id)
    const sizes = spans.map((span) => Number(span.attributes['messaging.batch.message_count'] ?? 1))
    expect(links.map((of) => of.length)).toEqual(sizes.map((size) => Math.min(size, 128)))
  })

  it('belongs to the trace of an append when all of its changes come from that one', async () => {
    await using log = await openLog()
    await log.append([put('a'), put('b')])
    const copy = memorySink({ collection: notes })
    await using worker = await startWorker(log, { groups: { copy } })
    await eventually(() => expect(spansOf(log, 'process')).toHaveLength(1))
    expect(worker.name).toBeTruthy()
    const [send, process] = [spansOf(log, 'send')[0]!, spansOf(log, 'process')[0]!]
    expect(process.parentSpanContext?.spanId).toBe(send.spanContext().spanId)
    expect(process.spanContext().traceId).toBe(send.spanContext().traceId)
  })

  it('counts as stale what the sink has already', async () => {
    await using log = await openLog()
    const copy = memorySink({ collection: notes })
    const knowing: Sink = {
      ...copy,
      open: async (options) => ({
        ...(await copy.open(options)),
        apply: async (changes) => changes.map(() => stale),
      }),
    }
    await using worker = await startWorker(log, { groups: { copy: knowing } })
    const { position } = await log.append(put('a'))
    await log.whenApplied(position, { group: 'copy' })
    expect(worker.name).toBeTruthy()
    expect(await counted(log, 'headwater.changes')).toEqual({ stale: 1 })
  })

  it('is counted by what became of its changes, and by how far behind it was', async () => {
    await using log = await openLog()
    let mood: 'refuse' | 'wait' | 'take' = 'wait'
    const sink = memorySink({ collection: notes })
    const moody: Sink = {
      ...sink,
      open: async (options) => {
        const opened = await sink.open(options)
        return {
          ...opened,
          apply: async (changes, ...rest) => {
            if (mood === 'take') return await opened.apply(changes, ...rest)
            const error = new HeadwaterError(mood === 'wait' ? 'SINK_UNAVAILABLE' : 'SINK_REJECTED', 'no')
            return changes.map(() => (mood === 'wait' ? retry(error) : reject(error)))
          },
        }
      },
    }
    await using worker = await startWorker(log, {
      groups: { copy: moody },
      retry: { firstMs: 5, maxMs: 20 },
    })
    await log.append(notes.put({ id: 'bad', content: 1 }))
    await eventually(async () =>
      expect((await counted(log, 'headwater.changes'))['retried']).toBeGreaterThan(1),
    )
    mood = 'refuse'
    await eventually(async () => expect(await counted(log, 'headwater.changes')).toMatchObject({ parked: 1 }))
    const parkedNow = async () =>
      (await sdk.measured('headwater.parked.keys')).filter(
        ({ attributes }) => attributes['messaging.destination.name'] === log.namespace,
      )
    await eventually(async () =>
      expect(await parkedNow()).toMatchObject([
        { value: 1, attributes: { 'messaging.consumer.group.name': 'copy' } },
      ]),
    )
    await log.parking('copy').drop({ all: true })
    await eventually(async () => expect(await parkedNow()).toMatchObject([{ value: 0 }]))
    mood = 'wait'
    // One after the other, to one key: what waits together goes as its newest.
    for (let content = 0; content < 5; content++) await log.append(notes.put({ id: 'good', content }))
    await eventually(async () => {
      const lag = (await sdk.measured('headwater.lag.changes')).find(
        ({ attributes }) => attributes['messaging.destination.name'] === log.namespace,
      )
      expect(lag).toMatchObject({ value: 5, attributes: { 'messaging.consumer.group.name': 'copy' } })
    })
    mood = 'take'
    const { position } = await log.append(notes.put({ id: 'last', content: 1 }))
    await log.whenApplied(position, { group: 'copy' })
    const changes = await counted(log, 'headwater.changes')
    expect(Number(changes['applied']) + Number(changes['superseded'] ?? 0)).toBe(6)
    expect(Number(changes['superseded'])).toBeGreaterThan(0)
    for (const name of ['headwater.lag.time', 'messaging.process.duration', 'headwater.apply.batch.size']) {
      expect((await sdk.measured(name)).map(({ attributes }) => attributes)).toContainEqual(
        expect.objectContaining({ 'messaging.destination.name': log.namespace }),
      )
    }
    await worker.stop()
    expect(await counted(log, 'headwater.rebalances')).toEqual({ acquired: 1, released: 1 })
  })
})

it('how long ago a sink was proven equal is a metric of its partition, and stands in health', async () => {
  await using log = await openLog()
  const copy = memorySink({ collection: notes })
  await using worker = await startWorker(log, { groups: { copy }, markEveryMs: 100 })
  const proofAge = async (): Promise<unknown> =>
    (await sdk.measured('headwater.proof.age')).find(
      ({ attributes }) => attributes['messaging.destination.name'] === log.namespace,
    )
  expect(await proofAge()).toBeUndefined()
  await log.append(put('a'))
  await eventually(async () => {
    expect(await proofAge()).toMatchObject({ attributes: { 'messaging.consumer.group.name': 'copy' } })
    expect(worker.health().groups['copy']!.proof).toMatchObject({ state: 'verified', different: [] })
  })
})

it('every name is explained in docs/telemetry.md', () => {
  const page = readFileSync(new URL('../../docs/telemetry.md', import.meta.url), 'utf8')
  for (const name of Object.values(names)) expect(page).toContain(`\`${name}\``)
})
