import { notes } from '@headwater/conformance'
import { connect, startWorker, verify } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { hashSink } from './hash-sink.ts'

await using server = await startRedis()
const client = new Redis(server.options)
const log = await connect(server.options, {
  namespace: `${server.namespacePrefix}adapter`,
  collections: [notes],
})

const copy = hashSink(client, notes, `${server.namespacePrefix}notes`)
const worker = await startWorker(log, { groups: { copy } })
const results = await Promise.all(
  Array.from({ length: 1_000 }, (_, index) =>
    log.append(notes.put({ id: `n${index % 100}`, content: index })),
  ),
)
await Promise.all(results.map(({ position }) => log.whenApplied(position, { group: 'copy' })))
const { equal, checked } = await verify(log, copy)
console.log(`${checked} keys ${equal ? 'agree' : 'differ'}`)

await worker.stop()
await log.close()
await client.quit()
