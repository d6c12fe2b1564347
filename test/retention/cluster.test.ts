import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { notes } from '@headwater/conformance'
import {
  archive,
  connect,
  directoryArchive,
  memorySink,
  purgeProducers,
  purgeTombstones,
  retention,
  retireGroup,
  setRetention,
  startWorker,
  trim,
} from '@headwater/core'
import { startCluster, type RedisCluster } from '@headwater/local-servers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { drained } from '../worker/test-log.ts'

let cluster: RedisCluster
let directory: string
beforeAll(async () => {
  cluster = await startCluster()
  directory = mkdtempSync(join(tmpdir(), 'headwater-archive-'))
})
afterAll(async () => {
  rmSync(directory, { recursive: true })
  await cluster.stop()
})

it('on a Cluster a log is archived, trimmed, purged and read through its archive as elsewhere', async () => {
  const store = directoryArchive(directory)
  await using log = await connect(
    { nodes: cluster.addresses },
    { namespace: 'spread', collections: [notes], partitions: 6, archive: store },
  )
  await setRetention(log, { retentionMs: 0, partitionBytesMax: 1e8 })
  const ids = Array.from({ length: 60 }, (_, at) => `note ${at}`)
  await Promise.all(ids.map((id) => log.append(notes.put({ id, content: 1 }))))
  await log.append(notes.delete('note 0'))
  const worker = await startWorker(log, { groups: { copy: memorySink({ collection: notes }) } })
  await drained(log, 'copy', 20_000)
  await worker.stop()
  await archive(log, store)
  const trimmed = await trim(log)
  expect(trimmed.reduce((sum, { removed }) => sum + removed, 0)).toBe(61)
  expect(await purgeTombstones(log)).toBe(1)
  expect(await purgeProducers(log)).toBe(0)
  let read = 0
  for (let partition = 0; partition < log.partitions; partition++) {
    for await (const change of log.read(partition)) read += change.collection === 'notes' ? 1 : 0
  }
  expect(read).toBe(61)
  const report = await retention(log)
  expect(report.bytesAdvised).toBe(128 * 1_048_576)
  expect(report.partitions.map(({ holders }) => holders.map(({ name }) => name).toSorted())).toEqual(
    Array.from({ length: 6 }, () => ['archive', 'copy']),
  )
  await retireGroup(log, 'copy')
  expect(await log.groups()).toEqual([])
})
