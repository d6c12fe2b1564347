import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import {
  connect,
  memorySink,
  retention,
  retireGroup,
  setRetention,
  startWorker,
  trim,
  verify,
} from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis, type RedisOptions } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { counters } from '../decider/counter.ts'
import { codeBlocks } from './code-blocks.ts'

let server: OwnRedisServer
let admin: Redis
beforeAll(async () => {
  server = await startRedis({ own: true })
  admin = new Redis(server.options)
})
afterAll(async () => {
  admin.disconnect()
  await server.stop()
})

const rulesOf = (user: string): string[] =>
  codeBlocks('docs/keys.md')
    .find(({ info }) => info === `acl=${user}`)!
    .code.trim()
    .split(/\s+/)

/** Commands that are younger than the server are left out, as the page says. */
async function isKnown(rule: string): Promise<boolean> {
  if (!rule.startsWith('+')) return true
  const [command] = (await admin.call('COMMAND', 'INFO', rule.slice(1).split('|')[0]!)) as unknown[]
  return command !== null && command !== undefined
}

async function userWith(rules: readonly string[]): Promise<RedisOptions> {
  const [username, password] = [randomUUID(), randomUUID()]
  const known = await Promise.all(rules.map(async (rule) => ((await isKnown(rule)) ? [rule] : [])))
  const given = ['resetkeys', 'resetchannels', ...known.flat()]
  await admin.call('ACL', 'SETUSER', username, 'on', `>${password}`, ...given)
  return { ...server.options, username, password }
}

async function refusals(): Promise<string[]> {
  const entries = (await admin.call('ACL', 'LOG')) as unknown[][]
  const refused = entries.map((fields) => String(fields[fields.indexOf('object') + 1]))
  // The client tells its version where it may; servers before 7.0 log that without the name of the subcommand.
  return refused.filter((command) => command !== 'client' && command !== 'client|setinfo')
}

it('programs and workers do everything with the permissions that docs/keys.md lists', async () => {
  const [application, worker] = [rulesOf('application'), rulesOf('worker')]
  await admin.call('ACL', 'LOG', 'RESET')
  const options = { namespace: 'shop', collections: [notes, counters], partitions: 2 }
  await using log = await connect(await userWith(application), options)
  await using workerLog = await connect(await userWith([...application, ...worker]), options)
  const copy = memorySink({ collection: notes })
  const running = await startWorker(workerLog, { groups: { copy } })

  await setRetention(log, { partitionBytesMax: 1e9 })
  await using feed = log.feed(notes, { from: 'snapshot' })
  await feed.started
  const { position, version } = await log.append(notes.put({ id: 'a', content: 1 }), { idempotencyKey: 'x' })
  await log.append(notes.patch('a', { content: 2 }), { expected: version, idempotencyKey: 'y' })
  await log.append(notes.put({ id: 'b', content: 2 }))
  await log.append(notes.delete('b'))
  await log.decide(counters, 'a', { do: 'add', n: 1 }, { idempotencyKey: 'z' })
  await log.decide(counters, 'a', { do: 'add', n: 1 }, { idempotencyKey: 'z' })
  await log.whenApplied(position, { group: 'copy' })
  for await (const change of feed) if (change.key === 'a') break
  await log.getAt(notes, 'a', { time: Date.now() })
  expect((await log.groups()).length).toBe(2)
  expect((await log.collections()).length).toBe(2)
  expect(await verify(log, copy, { group: 'copy', deep: true })).toMatchObject({ equal: true })
  await running.stop()
  expect(await refusals()).toEqual([])
})

it('what a worker needs besides, a program does not have', async () => {
  await admin.call('ACL', 'LOG', 'RESET')
  const options = { namespace: 'shop', collections: [notes, counters], deadlineMs: 500 }
  await using log = await connect(await userWith(rulesOf('application')), options)
  const running = await startWorker(log, { groups: { other: memorySink({ collection: notes }) }, drainMs: 0 })
  await expect.poll(refusals).not.toEqual([])
  await running.stop()
})

it('who looks after a log trims it and retires groups with the permissions that docs/keys.md lists', async () => {
  await admin.call('ACL', 'LOG', 'RESET')
  const options = { namespace: 'shop', collections: [notes, counters], partitions: 2 }
  const rules = ['application', 'operator'].flatMap(rulesOf)
  await using log = await connect(await userWith(rules), options)
  await log.append(notes.put({ id: 'a', content: 1 }))
  await setRetention(log, { retentionMs: 0 })
  await trim(log)
  expect((await retention(log)).partitions).toHaveLength(2)
  const groups = new Set((await log.groups()).map(({ group }) => group))
  const [first] = groups
  await log.parking(first!).redrive()
  await log.parking(first!).drop({ all: true })
  await log.steering.pause(first!)
  await log.steering.resume(first!)
  await expect(log.steering.drain('nobody')).rejects.toMatchObject({ code: 'WORKER_UNKNOWN' })
  for (const group of groups) await retireGroup(log, group)
  expect(await refusals()).toEqual([])
})

describe('a producer', () => {
  it('appends, and can do nothing else to a log', async () => {
    await admin.call('ACL', 'LOG', 'RESET')
    const options = { namespace: 'shop', collections: [notes], create: false, deadlineMs: 1_000 }
    await using log = await connect(await userWith(rulesOf('producer')), options)
    const { version } = await log.append(notes.put({ id: 'p', content: 1 }), { idempotencyKey: 'p' })
    await log.append(notes.patch('p', { content: 2 }), { expected: version })
    await log.append(notes.delete('p'))
    expect(await refusals()).toEqual([])
    await expect(trim(log)).rejects.toMatchObject({ code: 'REDIS_REFUSED' })
    const entries = async () => {
      for await (const change of log.read(0)) return change
      return undefined
    }
    await expect(entries()).rejects.toMatchObject({ code: 'REDIS_REFUSED' })
  })
})

describe('a viewer', () => {
  it('sees everything, and changes nothing', async () => {
    await using writer = await connect(server.options, { namespace: 'shop', collections: [notes] })
    const { position } = await writer.append(notes.put({ id: 'v', content: 1 }))
    await admin.call('ACL', 'LOG', 'RESET')
    const options = { namespace: 'shop', collections: [notes], create: false, deadlineMs: 1_000 }
    await using log = await connect(await userWith(rulesOf('viewer')), options)
    expect(await log.get(notes, 'v')).toMatchObject({ value: { content: 1 } })
    const partition = Number(position.split(':')[0])
    const seen: string[] = []
    for await (const { key } of log.read(partition)) seen.push(key)
    expect(seen).toContain('v')
    await using feed = log.feed(notes, { from: 'snapshot' })
    await feed.started
    expect(await log.collections()).toContainEqual(expect.objectContaining({ name: 'notes' }))
    await log.groups()
    await retention(log)
    expect(await refusals()).toEqual([])
    const before = await admin.call('DEBUG', 'DIGEST')
    await expect(log.append(notes.put({ id: 'v', content: 2 }))).rejects.toMatchObject({
      code: 'REDIS_REFUSED',
    })
    await expect(trim(log)).rejects.toMatchObject({ code: 'REDIS_REFUSED' })
    await expect(setRetention(log, { retentionMs: 1_000 })).rejects.toMatchObject({ code: 'REDIS_REFUSED' })
    expect(await admin.call('DEBUG', 'DIGEST')).toEqual(before)
  })
})
