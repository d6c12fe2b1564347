import type { ConsumerCalls } from '../consumer-process.ts'
import type { ProducerCalls } from '../producer-process.ts'
import { Part } from './part.ts'
import type { Percentiles } from './percentiles.ts'
import type { Addresses } from './servers.ts'
import type { Sending, System } from './system.ts'

/** So much of each measurement goes before it, uncounted, until the code is compiled and every key exists. */
const warmUp = 0.2
/** More of it where less is sent. */
const warmUpAtRate = 0.6
/** Where CPU time is counted: V8 goes on compiling for most of a million changes, and a worker runs for days. */
const warmUpOfCpu = 4
const limitMs = 180_000

export interface Load {
  readonly messages: number
  readonly bytes: number
}

/** Products per second that one producer process gets confirmed. */
export async function measureSending(
  system: System,
  addresses: Addresses,
  { messages, bytes }: Load,
  sending: Sending = system.sending,
): Promise<number> {
  await system.reset(addresses)
  await using producer = await openProducer(system, addresses)
  const before = Math.ceil(messages * warmUp)
  await producer.call('prepare', 0, before, bytes, sending)
  await producer.call('sendAll', sending)
  await producer.call('prepare', before, messages, bytes, sending)
  const seconds = await timed(system, () => producer.call('sendAll', sending))
  await producer.call('close')
  return messages / seconds
}

export interface Throughput {
  /** Products per second from one process to the other while both work: until the last was consumed and acknowledged. */
  readonly flow: number
  /** Products per second that the consumer works off when they are there already; undefined where nothing waits for it. */
  readonly backlog: number | undefined
}

/** One producer process, one consumer process. */
export async function measureThroughput(
  system: System,
  addresses: Addresses,
  { messages, bytes }: Load,
): Promise<Throughput> {
  const { sending, keepsBacklog } = system
  await system.reset(addresses)
  await using consumer = await openConsumer(system, addresses, false)
  await using producer = await openProducer(system, addresses)
  let sent = 0
  const send = async (count: number): Promise<() => Promise<void>> => {
    await producer.call('prepare', sent, count, bytes, sending)
    sent += count
    return () => producer.call('sendAll', sending)
  }
  const consumed = () => consumer.call('caughtUp', sent)

  await consumer.call('start')
  const warming = await send(Math.ceil(messages * warmUp))
  await limited(system, Promise.all([warming(), consumed()]))

  const flowing = await send(messages)
  const flowSeconds = await timed(system, () => Promise.all([flowing(), consumed()]))

  let backlogSeconds: number | undefined
  if (keepsBacklog) {
    await consumer.call('stop')
    const piling = await send(messages)
    await limited(system, piling())
    backlogSeconds = await timed(system, async () => {
      await consumer.call('start')
      await consumed()
    })
  }
  await Promise.all([producer.call('close'), consumer.call('close')])
  return {
    flow: messages / flowSeconds,
    backlog: backlogSeconds === undefined ? undefined : messages / backlogSeconds,
  }
}

export interface Latency {
  /** From the call that sends to the end of the one that applies, in ms. */
  readonly percentiles: Percentiles
  /** How far the producer fell behind its schedule at worst, in ms. */
  readonly behindMs: number
}

/** How long a product is under way when so many are sent each second, whether the system keeps up or not. */
export async function measureLatency(
  system: System,
  addresses: Addresses,
  { perSecond, seconds, bytes }: { perSecond: number; seconds: number; bytes: number },
): Promise<Latency> {
  await system.reset(addresses)
  await using consumer = await openConsumer(system, addresses, true)
  await using producer = await openProducer(system, addresses)
  await consumer.call('start')
  const count = Math.round(perSecond * seconds)
  const before = Math.round(count * warmUpAtRate)
  await limited(system, producer.call('sendAtRate', 0, before, perSecond, bytes))
  await limited(system, consumer.call('caughtUp', before))
  await consumer.call('forget')
  const behindMs = await limited(system, producer.call('sendAtRate', before, count, perSecond, bytes))
  await limited(system, consumer.call('caughtUp', before + count))
  const percentiles = await consumer.call('percentiles')
  await Promise.all([producer.call('close'), consumer.call('close')])
  return { percentiles, behindMs }
}

/** CPU time that the consumer process takes to work a backlog off, in µs a product. */
export async function measureConsumerCpu(
  system: System,
  addresses: Addresses,
  { messages, bytes }: Load,
): Promise<number> {
  const { sending } = system
  await system.reset(addresses)
  await using consumer = await openConsumer(system, addresses, false)
  await using producer = await openProducer(system, addresses)
  let sent = 0
  const pileUp = async (count: number): Promise<void> => {
    await producer.call('prepare', sent, count, bytes, sending)
    await limited(system, producer.call('sendAll', sending))
    sent += count
  }
  const workOff = async (): Promise<void> => {
    await consumer.call('start')
    await limited(system, consumer.call('caughtUp', sent))
  }
  await pileUp(messages * warmUpOfCpu)
  await workOff()
  await consumer.call('stop')
  await pileUp(messages)
  const before = await consumer.call('cpu')
  await workOff()
  const after = await consumer.call('cpu')
  await Promise.all([producer.call('close'), consumer.call('close')])
  return (after - before) / messages
}

export async function openProducer(system: System, addresses: Addresses): Promise<Part<ProducerCalls>> {
  const part = await Part.start<ProducerCalls>('producer-process')
  await limited(system, part.call('open', system.name, addresses))
  return part
}

export async function openConsumer(
  system: System,
  addresses: Addresses,
  timed: boolean,
): Promise<Part<ConsumerCalls>> {
  const part = await Part.start<ConsumerCalls>('consumer-process')
  await limited(system, part.call('open', system.name, addresses, timed))
  return part
}

async function timed(system: System, work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await limited(system, work())
  return (performance.now() - startedAt) / 1_000
}

/** A system that loses something would never catch up. */
async function limited<T>({ name }: System, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${name} took more than ${limitMs / 1_000} s.`)), limitMs)
      }),
    ])
  } finally {
    clearTimeout(timer)
  }
}
