import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { logParts, type LogParts } from '../../packages/core/src/namespace/log-parts.ts'
import {
  moveHold,
  readHolds,
  releaseHold,
  renewHold,
  takeHold,
  type HoldRequest,
} from '../../packages/core/src/retention/holds.ts'
import { eventually } from '../support/eventually.ts'
import { client, log, openOwnLog } from '../worker/own-log.ts'
import { appendEach } from '../worker/test-log.ts'

let parts: LogParts

openOwnLog()

beforeEach(() => {
  parts = logParts(log)
})
afterEach(async () => {
  await client.config('SET', 'maxmemory', '0')
})

const rebuild: HoldRequest = {
  partition: 0,
  name: 'rebuild:notes',
  owner: 'first',
  kind: 'rebuild',
  after: { epoch: 1, sequence: 1 },
}
const trimmedTo = (sequence: number) =>
  client.hset(`headwater:{${log.namespace}:0}:header`, 'trimmed', sequence)

describe('a hold', () => {
  it('is listed with who took it, for what, and what it keeps, until it is released', async () => {
    await appendEach(log, [1, 2, 3])
    expect(await takeHold(parts, rebuild)).toEqual({ epoch: 1, sequence: 1 })
    const [held, ...others] = await readHolds(parts, 0)
    expect(held).toMatchObject({ name: 'rebuild:notes', kind: 'rebuild', owner: 'first', leftMs: undefined })
    expect(held!.after).toEqual({ epoch: 1, sequence: 1 })
    expect(Math.abs(held!.since - Date.now())).toBeLessThan(60_000)
    expect(others).toEqual([])
    await releaseHold(parts, rebuild)
    expect(await readHolds(parts, 0)).toEqual([])
  })

  it('begins at the present end, or with the earliest change that is left', async () => {
    await appendEach(log, [1, 2, 3])
    expect(await takeHold(parts, { ...rebuild, after: 'end' })).toEqual({ epoch: 1, sequence: 3 })
    expect(await takeHold(parts, { ...rebuild, after: 'earliest' })).toEqual({ epoch: 0, sequence: 0 })
    await trimmedTo(2)
    expect(await takeHold(parts, { ...rebuild, after: 'earliest' })).toEqual({ epoch: 1, sequence: 2 })
  })

  it('is refused below what is trimmed', async () => {
    await appendEach(log, [1, 2, 3])
    await trimmedTo(2)
    await expect(takeHold(parts, rebuild)).rejects.toMatchObject({ code: 'HISTORY_TRIMMED' })
    expect(await readHolds(parts, 0)).toEqual([])
  })

  it('moves forward, never back', async () => {
    await takeHold(parts, rebuild)
    expect(await moveHold(parts, rebuild, { epoch: 1, sequence: 10 })).toBe('moved')
    expect(await moveHold(parts, rebuild, { epoch: 1, sequence: 9 })).toBe('moved')
    expect((await readHolds(parts, 0))[0]!.after).toEqual({ epoch: 1, sequence: 10 })
    expect(await moveHold(parts, rebuild, { epoch: 2, sequence: 9 })).toBe('moved')
    expect((await readHolds(parts, 0))[0]!.after).toEqual({ epoch: 2, sequence: 9 })
  })

  it('belongs to its owner, who may take it again', async () => {
    await takeHold(parts, rebuild)
    const second = { ...rebuild, owner: 'second' }
    await expect(takeHold(parts, second)).rejects.toMatchObject({
      code: 'HOLD_TAKEN',
      message: expect.stringContaining('held by first') as string,
    })
    expect(await moveHold(parts, second, { epoch: 1, sequence: 10 })).toBe('gone')
    expect(await renewHold(parts, second)).toBe('gone')
    await releaseHold(parts, second)
    expect(await takeHold(parts, { ...rebuild, after: { epoch: 1, sequence: 2 } })).toEqual({
      epoch: 1,
      sequence: 2,
    })
    expect(await readHolds(parts, 0)).toHaveLength(1)
  })

  it('goes to another owner when it has expired, and is told so to the first', async () => {
    const expiring = { ...rebuild, ttlMs: 1_000 }
    const key = `headwater:{${log.namespace}:0}:holds`
    await takeHold(parts, expiring)
    const [held] = await readHolds(parts, 0)
    expect(held!.leftMs).toBeGreaterThan(0)
    const text = (await client.hget(key, expiring.name))!
    const [position, kind, since, ttl, , owner] = text.split(' ')
    await client.hset(key, expiring.name, [position, kind, since, ttl, '1', owner].join(' '))
    expect((await readHolds(parts, 0))[0]!.leftMs).toBe(0)
    await takeHold(parts, { ...expiring, owner: 'second' })
    expect(await renewHold(parts, expiring)).toBe('gone')
    expect(await renewHold(parts, { ...expiring, owner: 'second' })).toBe('renewed')
  })

  it('is not kept for ever by a server whose clock ran ahead', async () => {
    const key = `headwater:{${log.namespace}:0}:holds`
    await takeHold(parts, { ...rebuild, ttlMs: 1_000 })
    const text = (await client.hget(key, rebuild.name))!
    const [position, kind, since, ttl, , owner] = text.split(' ')
    const farAway = String(Date.now() + 86_400_000)
    await client.hset(key, rebuild.name, [position, kind, since, ttl, farAway, owner].join(' '))
    expect((await readHolds(parts, 0))[0]!.leftMs).toBe(1_000)
  })

  it('is taken, moved and released on a full server', async () => {
    await client.config('SET', 'maxmemory', '1')
    await takeHold(parts, rebuild)
    await moveHold(parts, rebuild, { epoch: 1, sequence: 2 })
    expect(await readHolds(parts, 0)).toHaveLength(1)
    await releaseHold(parts, rebuild)
    await eventually(async () => expect(await readHolds(parts, 0)).toEqual([]))
  })

  it.each([
    ['a name with a space', { name: 'a b' }],
    ['no owner', { owner: '' }],
    ['a time to live below a second', { ttlMs: 10 }],
  ])('is refused with %s', async (_, wrong) => {
    await expect(takeHold(parts, { ...rebuild, ...wrong })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })
})
