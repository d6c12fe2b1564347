import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { notes } from '@headwater/conformance'
import { connect, startWorker, verify, type Log, type VerifyReport } from '@headwater/core'
import type { RedisServer } from '@headwater/local-servers'
import { expect } from 'vitest'
import { compileProgram } from '../support/compile-program.ts'
import type { CrashPoint, RebuildProcessOptions } from './rebuild-process-options.ts'
import type { VersionedTarget } from './targets.ts'

const program = new URL('rebuild-process.ts', import.meta.url)

/**
 * Kills a rebuild under traffic at one point after the other, each time in a process of its own that goes on where the last one
 * died; then lets it end, and compares. The report says what came of it.
 */
export async function killAndGoOn(
  redis: RedisServer,
  target: VersionedTarget,
  where: RebuildProcessOptions['target'],
  points: readonly CrashPoint[],
): Promise<VerifyReport> {
  const compiled = await compileProgram(program)
  const namespace = `${redis.namespacePrefix}${randomUUID()}`
  await using log = await connect(redis.options, { namespace, collections: [notes], partitions: 2 })
  const ids = Array.from({ length: 600 }, (_, at) => `note-${at}`)
  await Promise.all(ids.map((id) => log.append(notes.put({ id, content: 0 }))))
  await using _ = await startWorker(log, { groups: { copy: target.sink() } })
  const traffic = new Traffic(log, ids)
  const switchedAt: CrashPoint[] = []
  try {
    for (const crash of points) {
      const ended = await run(compiled, { log: redis.options, namespace, target: where, crash })
      expect([crash, ended]).toEqual([crash, 'SIGKILL'])
      const { current } = await target.sink().versions!.list()
      if (current === 2) switchedAt.push(crash)
      expect((await target.dump()).size).toBeGreaterThan(500)
    }
    // Killed behind the decisive step, it is switched; before, it is not.
    expect(switchedAt).toEqual(points.filter(({ switched }) => switched))
    const none: CrashPoint = { call: 'none', when: 'before', nth: 0 }
    expect(await run(compiled, { log: redis.options, namespace, target: where, crash: none })).toMatchObject({
      version: 2,
      previous: 1,
      switched: true,
    })
  } finally {
    await traffic.stop()
  }
  // The leases of the dead run out, and the workers come back.
  const { position } = await log.append(notes.put({ id: 'after', content: 1 }))
  await log.whenApplied(position, { group: 'copy', timeoutMs: 20_000 })
  const groups = await log.groups()
  expect(groups.map(({ group }) => group)).toEqual(['copy', 'copy'])
  for (const { partition } of groups) {
    await log.whenApplied(await log.end(partition), { group: 'copy', timeoutMs: 20_000 })
  }
  expect((await target.dump()).get('after')).toEqual({ id: 'after', content: 1 })
  return await verify(log, target.sink(), { group: 'copy', digests: false })
}

/** The signal that ended it, or what it said. */
function run(compiled: string, options: RebuildProcessOptions): Promise<unknown> {
  const args = [compiled, JSON.stringify(options)]
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      args,
      { cwd: fileURLToPath(new URL('..', import.meta.url)) },
      (error, out, said) => {
        if (!error) return resolve(JSON.parse(out))
        if (error.signal) return resolve(error.signal)
        reject(new Error(said))
      },
    )
  })
}

/** Writes and deletes a part of the keys for as long as it is let. */
class Traffic {
  readonly #ended = new AbortController()
  readonly #running: Promise<void>

  constructor(log: Log, ids: readonly string[]) {
    this.#running = this.#run(log, ids.slice(0, 50))
  }

  async stop(): Promise<void> {
    this.#ended.abort()
    await this.#running
  }

  async #run(log: Log, ids: readonly string[]): Promise<void> {
    for (let round = 1; !this.#ended.signal.aborted; round++) {
      const changes = ids.map((id, at) =>
        (at + round) % 5 === 0 ? notes.delete(id) : notes.put({ id, content: round }),
      )
      await Promise.all(changes.map((change) => log.append(change)))
    }
  }
}
