import { randomUUID } from 'node:crypto'
import { notes } from '@headwater/conformance'
import { connect, parseVersion, type Log, type Version } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'

let server: OwnRedisServer | undefined

afterEach(async () => {
  await server?.stop()
})

const open = (namespace: string): Promise<Log> =>
  connect(server!.options, { namespace, collections: [notes], partitions: 1 })
const note = (content: number) => notes.put({ id: 'lamp', content })

describe('a server that is killed and comes back with its append-only file', () => {
  it('has everything that was acknowledged, and goes on in the next epoch', async () => {
    server = await startRedis({ own: true, config: { appendonly: 'yes', appendfsync: 'always' } })
    await using log = await open(randomUUID())
    for (let at = 1; at <= 6; at++) await log.append(note(at), { expected: at === 1 ? 'absent' : 'exists' })
    await server.kill('SIGKILL')
    await server.restart()

    expect(await log.get(notes, 'lamp')).toMatchObject({ value: { content: 6 }, version: '6' })
    const seventh = await log.append(note(7), { expected: '6' as Version })
    const [, epoch] = seventh.version.split('@')
    expect(Number(epoch)).toBeGreaterThan(1)
    expect(seventh).toEqual({
      key: 'lamp',
      version: `7@${epoch}`,
      position: `0:${epoch}-7`,
      duplicate: false,
    })
    const eighth = await log.append(note(8), { expected: seventh.version })
    expect(eighth).toMatchObject({ version: `8@${epoch}`, position: `0:${epoch}-8` })
  })

  it('gives a retry the result that was acknowledged before', async () => {
    server = await startRedis({ own: true, config: { appendonly: 'yes', appendfsync: 'always' } })
    await using log = await open(randomUUID())
    const first = await log.append(note(1), { idempotencyKey: 'order-1' })
    await server.kill('SIGKILL')
    await server.restart()
    expect(await log.append(note(1), { idempotencyKey: 'order-1' })).toEqual({ ...first, duplicate: true })
  })
})

describe('a server that comes back with an older copy', () => {
  it('cannot be fooled by an expectation from the branch that was lost', async () => {
    server = await startRedis({ own: true })
    const client = new Redis(server.options)
    const namespace = randomUUID()
    const ours = await open(namespace)
    const kept = await ours.append(note(1))
    await client.save()
    client.disconnect()
    const lost = await ours.append(note(2), { expected: kept.version })
    await ours.close()
    await server.kill('SIGKILL')
    await server.restart()

    await using theirs = await open(namespace)
    const other = await theirs.append(note(3), { expected: kept.version })
    expect([lost.version, other.version]).toEqual(['2', expect.stringMatching(/^2@\d+$/)])
    await expect(theirs.append(note(4), { expected: lost.version })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
      expected: '2',
      actual: other.version,
    })
    await expect(theirs.append(note(4), { expected: other.version })).resolves.toMatchObject({
      version: other.version.replace('2@', '3@'),
    })
  })

  it('tells apart two branches of one copy that began in the same second', async () => {
    server = await startRedis({ own: true })
    const client = new Redis(server.options)
    const namespace = randomUUID()
    await using log = await open(namespace)
    const kept = await log.append(note(1))
    // With an epoch that began in the future, every one after it has lasted the same: no time at all.
    const header = `headwater:{${namespace}:0}:header`
    const [inherited, branch] = (await client.hget(header, 'epoch:1'))!.split(' ')
    await client.hset(header, 'epoch:1', `${inherited} ${branch} ${Date.now() + 3_600_000}`)
    await client.save()
    client.disconnect()
    const restored = async () => {
      await server!.kill('SIGKILL')
      await server!.restart()
      return await log.append(note(2), { expected: kept.version })
    }
    const lost = await restored()
    const other = await restored()

    expect(lost.version).not.toBe(other.version)
    for (const { version } of [lost, other]) expect(Math.floor(parseVersion(version).epoch / 65_536)).toBe(1)
    await expect(log.append(note(3), { expected: lost.version })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
      expected: lost.version,
      actual: other.version,
    })
  })

  it('says of a position on the lost branch that it is lost', async () => {
    server = await startRedis({ own: true })
    const client = new Redis(server.options)
    await using log = await open(randomUUID())
    await client.save()
    client.disconnect()
    const lost = await log.append(note(1))
    await server.kill('SIGKILL')
    await server.restart()
    const reading = () => log.read(0, lost.position)[Symbol.asyncIterator]().next()
    await expect(reading()).rejects.toMatchObject({ code: 'LOG_DAMAGED' })
    await log.append(note(2))
    await expect(reading()).rejects.toMatchObject({ code: 'LOG_DAMAGED' })
  })
})
