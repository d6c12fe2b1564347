import { retention } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { releaseHold, takeHold } from '../../packages/core/src/retention/holds.ts'
import { appendEach, openTestLog } from '../worker/test-log.ts'
import { registerSdk, type RegisteredSdk } from './otel.ts'

let sdk: RegisteredSdk
let server: OwnRedisServer
beforeAll(async () => {
  sdk = registerSdk(new InMemorySpanExporter())
  server = await startRedis({ own: true })
})
afterAll(async () => {
  await server.stop()
  await sdk.stop()
})

it('what a log keeps, and for whom, is measured when it is looked at; nothing is for whoever has gone', async () => {
  await using log = await openTestLog(server.options)
  await appendEach(log, [1, 2, 3, 4])
  const hold = { partition: 0, name: 'rebuild:notes', owner: 'somebody' }
  await takeHold(logParts(log), { ...hold, kind: 'rebuild', after: { epoch: 1, sequence: 2 } })
  const [partition] = (await retention(log)).partitions
  const place = {
    'messaging.destination.name': log.namespace,
    'messaging.destination.partition.id': '0',
  }
  const holder = { ...place, 'headwater.holder': 'rebuild:notes', 'headwater.holder.kind': 'rebuild' }
  expect(await sdk.measured('headwater.log.bytes')).toEqual([{ attributes: place, value: partition!.bytes }])
  expect(await sdk.measured('headwater.log.held.bytes')).toEqual([
    { attributes: holder, value: Math.round(partition!.bytes / 2) },
  ])
  await releaseHold(logParts(log), hold)
  await retention(log)
  expect(await sdk.measured('headwater.log.held.bytes')).toEqual([{ attributes: holder, value: 0 }])
})
