import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import {
  connect,
  HeadwaterError,
  memorySink,
  reject,
  startWorker,
  type Logger,
  type Sink,
} from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { pino } from 'pino'
import { expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'

it('a worker logs what it does, and never what a sink quotes of a value', async () => {
  await using server = await startRedis()
  await using log = await connect(server.options, {
    namespace: `${server.namespacePrefix}${randomUUID()}`,
    collections: [notes],
    partitions: 1,
  })
  const lines: { level: string; facts: object; message: string }[] = []
  const write =
    (level: string) =>
    (facts: object, message: string): void =>
      void lines.push({ level, facts, message })
  const logger: Logger = { info: write('info'), warn: write('warn'), error: write('error') }
  const sink = memorySink({ collection: notes })
  const strict: Sink = {
    ...sink,
    open: async (options) => ({
      ...(await sink.open(options)),
      apply: async (changes) =>
        changes.map(({ payload }) =>
          reject(
            new HeadwaterError('SINK_REJECTED', `invalid input: ${payload}`, {
              cause: Object.assign(new Error(payload), { code: '22P02' }),
            }),
          ),
        ),
    }),
  }
  await using worker = await startWorker(log, { groups: { strict }, logger })
  await log.append(notes.put({ id: 'a', content: 'my secret' }))
  await eventually(() => expect(lines.map(({ message }) => message)).toContain('parked a key'))
  await worker.stop()
  expect(lines.map(({ level, message }) => `${level}: ${message}`)).toEqual([
    'info: took the partition',
    'error: parked a key',
    'info: gave the partition back',
  ])
  expect(lines[1]!.facts).toEqual({
    event: 'parked',
    group: 'strict',
    partition: 0,
    key: 'a',
    changes: 1,
    error: { code: 'SINK_REJECTED', cause: '22P02' },
  })
  expect(JSON.stringify(lines)).not.toContain('secret')
})

it('pino fits as it is', async () => {
  await using server = await startRedis()
  await using log = await connect(server.options, {
    namespace: `${server.namespacePrefix}${randomUUID()}`,
    collections: [notes],
    partitions: 1,
  })
  const lines: unknown[] = []
  const logger = pino({ base: null }, { write: (line) => void lines.push(JSON.parse(line)) })
  const copy = memorySink({ collection: notes })
  const worker = await startWorker(log, { groups: { copy }, logger })
  await eventually(() => expect(lines).toHaveLength(1))
  await worker.stop()
  expect(lines[0]).toMatchObject({
    level: 30,
    event: 'acquired',
    group: 'copy',
    partition: 0,
    msg: 'took the partition',
  })
})
