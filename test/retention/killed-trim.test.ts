import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { notes } from '@headwater/conformance'
import { memorySink, setRetention, startWorker, trim, verify, type Log } from '@headwater/core'
import { beforeAll, expect, it } from 'vitest'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { takeHold } from '../../packages/core/src/retention/holds.ts'
import { compileProgram } from '../support/compile-program.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { drained, openTestLog, partitionKeys } from '../worker/test-log.ts'
import type { TrimmerProcessOptions } from './trimmer-process.ts'

/** More than two steps remove. */
const appended = 22_000
const needed = 21_500

let program: string
startOwnRedis()

beforeAll(async () => {
  program = await compileProgram(new URL('trimmer-process.ts', import.meta.url))
})

async function killed(log: Log, step: number): Promise<void> {
  const options: TrimmerProcessOptions = { log: server.options, namespace: log.namespace, step }
  const cwd = fileURLToPath(new URL('..', import.meta.url))
  const trimmer = spawn(process.execPath, [program, JSON.stringify(options)], { cwd, stdio: 'inherit' })
  expect(await once(trimmer, 'exit')).toEqual([null, 'SIGKILL'])
}

// A first look, then steps that remove 10,000 changes at most.
it.each([1, 2, 3, 4])(
  'a trimmer that is killed after step %i leaves a whole log, of which the next one removes the rest',
  async (step) => {
    await using log = await openTestLog(server.options)
    await setRetention(log, { retentionMs: 0 })
    const sink = memorySink({ collection: notes })
    await Promise.all(
      Array.from({ length: appended }, (_, at) => log.append(notes.put({ id: `${at % 100}`, content: at }))),
    )
    const worker = await startWorker(log, { groups: { copy: sink } })
    await drained(log, 'copy')
    const after = { epoch: 1, sequence: needed }
    await takeHold(logParts(log), { partition: 0, name: 'slow', owner: 'somebody', kind: 'rebuild', after })

    await killed(log, step)
    const { header, log: stream } = partitionKeys(log, 'copy')
    const trimmed = Number((await client.hget(header, 'trimmed')) ?? 0)
    const [first] = await client.xrange(stream, '-', '+', 'COUNT', 1)
    expect(Number(new Map(pairsOf(first![1])).get('first'))).toBe(trimmed + 1)
    expect(trimmed).toBeLessThanOrEqual(Math.min(needed, (step - 1) * 10_000))
    expect(trimmed > 0).toBe(step > 1)

    const { position } = await log.append(notes.put({ id: 'new', content: 1 }))
    expect(await log.whenApplied(position, { group: 'copy' })).toBe('applied')
    const [rest] = await trim(log)
    expect(rest).toMatchObject({ heldBy: { kind: 'rebuild', name: 'slow' } })
    expect(trimmed + rest!.removed).toBe(rest!.trimmed)
    let read = 0
    for await (const change of log.read(0)) read += change.stamp.sequence > rest!.trimmed ? 1 : 0
    expect(read).toBe(appended + 1 - rest!.trimmed)
    expect(rest!.trimmed).toBeGreaterThan(needed - 1_000)
    expect(await verify(log, sink, { group: 'copy' })).toMatchObject({ result: 'equal' })
    await worker.stop()
  },
)

function pairsOf(fields: readonly string[]): [string, string][] {
  return fields.flatMap((name, at) => (at % 2 === 0 ? [[name, fields[at + 1]!] as [string, string]] : []))
}
