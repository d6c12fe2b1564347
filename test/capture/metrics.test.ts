import { randomUUID } from 'node:crypto'
import { connect } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { captured, startCommandCapture, startStateCapture } from '@headwater/redis'
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace'
import { expect, it } from 'vitest'
import { plainClient } from '../support/plain-client.ts'
import { registerSdk } from '../telemetry/otel.ts'
import { collections, wrap } from './captured-types.ts'
import { spoolFolder } from './spool-folder.ts'

it('captures measure what became of what they were told, and how late they are', async () => {
  const sdk = registerSdk(new InMemorySpanExporter())
  try {
    await using source = await startRedis({ own: true, config: { 'repl-diskless-sync-delay': '0' } })
    await using server = await startRedis({ own: true })
    await using target = await startRedis({ own: true })
    await using client = plainClient(source.options)
    await using log = await connect(server.options, {
      namespace: randomUUID(),
      collections: [collections.hashes],
    })
    await client.hset('hash:a', 'n', 'a secret')
    await using state = await startStateCapture(log, {
      from: source.options,
      collections: [captured(collections.hashes, { keys: 'hash:*', value: wrap })],
      spool: spoolFolder(),
    })
    await state.caughtUp()
    await client.hset('hash:a', 'n', 'a secret')
    await state.caughtUp()
    await using commands = await startCommandCapture({
      from: source.options,
      to: target.options,
      spool: spoolFolder(),
    })
    await commands.caughtUp()
    await client.set('other', 'a secret')
    await commands.caughtUp()

    const changes = await sdk.measured('headwater.capture.changes')
    const ofState = { 'headwater.capture': 'capture', 'headwater.capture.mode': 'state' }
    const of = (outcome: string) => ({
      attributes: { ...ofState, 'headwater.collection': 'hashes', 'headwater.outcome': outcome },
    })
    expect(changes).toContainEqual({ ...of('appended'), value: 1 })
    expect(changes).toContainEqual(expect.objectContaining(of('unchanged')))
    expect(changes).toContainEqual({
      attributes: {
        'headwater.capture': 'default',
        'headwater.capture.mode': 'commands',
        'headwater.outcome': 'replayed',
      },
      value: 1,
    })
    const lag = await sdk.measured('headwater.capture.lag.bytes')
    expect(lag).toContainEqual({ attributes: ofState, value: 0 })
    expect(await sdk.measured('headwater.capture.lag.time')).toHaveLength(2)
    expect((await sdk.measured('headwater.capture.copies')).length).toBeGreaterThan(0)
    expect(JSON.stringify(changes)).not.toContain('secret')
  } finally {
    await sdk.stop()
  }
})
