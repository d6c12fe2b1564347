import { fork } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect, startSite, winnerOf } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { expect, onTestFinished } from 'vitest'
import { compileProgram } from '../support/compile-program.ts'
import { eventually } from '../support/eventually.ts'
import { booksCollection } from './books.ts'
import type { SiteProcessOptions } from './site-process.ts'

const weights = { eu: 1, us: 2 }
const shared = ['a', 'b', 'c', 'd']

/**
 * Kills a writing site before each of these commands of a process, one process after the other, while both sites are written.
 * The last one goes on undisturbed: then both have to agree, and hold everything that was acknowledged.
 *
 * @returns how many were killed
 */
export async function killSites(deaths: Iterable<number>): Promise<number> {
  const program = await compileProgram(new URL('site-process.ts', import.meta.url))
  await using own = await startRedis({ own: true })
  await using peer = await startRedis({ own: true })
  const namespace = `sites-${randomUUID()}`
  const [inEu, inUs] = [booksCollection(), booksCollection()]
  await using eu = await connect(own.options, { namespace, collections: [inEu], partitions: 2 })
  await using us = await connect(peer.options, { namespace, collections: [inUs], partitions: 2 })
  await using site = await startSite(us, inUs, { name: 'us', peers: { eu }, weights, pollMs: 20 })

  const acknowledged: string[] = []
  const last = new Map<string, string>()
  let killed = 0
  for (const dieBefore of deaths) {
    for (const id of shared) {
      const title = `${id} ${dieBefore}`
      await eu.append(inEu.put({ id, title: `${title} eu` }))
      if (id < 'c') await us.append(id === 'a' ? inUs.delete(id) : inUs.put({ id, title: `${title} us` }))
      else last.set(id, `${title} eu`)
    }
    const prefix = `own-${dieBefore}`
    const options: SiteProcessOptions = {
      own: own.options,
      peer: peer.options,
      namespace,
      weights,
      prefix,
      writes: 3,
      dieBefore,
    }
    const child = fork(program, [JSON.stringify(options)], { execArgv: [] })
    onTestFinished(() => void child.kill('SIGKILL'))
    child.on('message', (id) => acknowledged.push(id as string))
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
    expect([dieBefore, signal]).toEqual([dieBefore, 'SIGKILL'])
    killed++
  }

  await using again = await startSite(eu, inEu, { name: 'eu', peers: { us }, weights, pollMs: 20 })
  await eventually(
    async () => {
      const keys = [...shared, ...acknowledged]
      const [ours, theirs] = await Promise.all([again.node.read(keys), site.node.read(keys)])
      expect(ours.map((row) => row?.mark)).toEqual(theirs.map((row) => row?.mark))
      for (const [at, id] of keys.entries()) {
        const elected = winnerOf(ours[at]!.versions, { weights })
        const [inOurs, inTheirs] = await Promise.all([eu.get(inEu, id), us.get(inUs, id)])
        expect([id, inOurs?.value, inTheirs?.value]).toEqual([id, elected, elected])
        if (id.startsWith('own-')) expect(elected).toEqual({ id, title: id })
        if (last.has(id)) expect(elected).toEqual({ id, title: last.get(id) })
      }
    },
    { timeoutMs: 30_000 },
  )
  expect(await eu.parking('site-books').list()).toEqual([])
  return killed
}
