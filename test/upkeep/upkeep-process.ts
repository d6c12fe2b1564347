// Upkeep in a process of its own, to be killed: it verifies an empty sink for as long as its gate is shut.
import { notes } from '@headwater/conformance'
import { connect } from '@headwater/core'
import { startUpkeep } from '@headwater/upkeep'
import { Redis, type RedisOptions } from 'ioredis'
import { gatedSink } from './gated-sink.ts'

export interface UpkeepProcessOptions {
  readonly redis: RedisOptions
  readonly namespace: string
  readonly name: string
  readonly takeOverMs: number
}

const { redis, namespace, name, takeOverMs } = JSON.parse(process.argv[2]!) as UpkeepProcessOptions
const client = new Redis(redis)
const log = await connect(redis, { namespace, collections: [notes] })
const upkeep = await startUpkeep(log, {
  client,
  tasks: { verify: { everyMs: 3_600_000 } },
  groups: { copy: gatedSink(client, namespace, name) },
  takeOverMs,
})
process.once('SIGTERM', () => {
  void (async () => {
    await upkeep.stop()
    await log.close()
    client.disconnect()
  })()
})
