import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { Call, everyLine, headwater, lastLine } from './headwater.ts'
import { openShop, shop } from './opened-shop.ts'
import { changesOf, product, products } from './shop.ts'

openShop()

interface TailedChange {
  readonly position: string
  readonly key: string
  readonly kind: string
  readonly time: string
}
const fromBeginning = ['tail', '--from', 'beginning', '--no-follow', '--json']

describe('headwater tail', () => {
  it('shows changes as they come, and none that were there before', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    await log.append(products.put(product('before')))
    const call = new Call(['tail', '--limit', '2', '--json', ...shop.at(namespace)])
    // It begins when it has asked where the log ends, of which it says nothing: so until then, changes of another key.
    let waiting = 0
    await eventually(async () => {
      await log.append(products.put(product('sign', ++waiting)))
      expect(call.stdout).not.toBe('')
    })
    await log.append(products.delete('sign'))
    const ended = await call.ended()
    expect(ended).toMatchObject({ ending: 0, stderr: '' })
    const changes = everyLine<TailedChange>(ended)
    expect(changes).toHaveLength(2)
    expect(changes.map(({ key }) => key)).toEqual(['sign', 'sign'])
  })

  it('shows everything from the beginning in the order of time, one JSON value a line', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    for (const sku of ['a', 'b', 'c', 'd', 'e', 'f']) {
      await log.append(products.put(product(sku)), { metadata: { by: 'ann' } })
    }
    const { version, position } = await log.append(products.delete('c'))
    const ended = await headwater([...fromBeginning, ...shop.at(namespace)])
    expect(ended).toMatchObject({ ending: 0, stderr: '' })
    const changes = everyLine<TailedChange>(ended)
    const inLog = await changesOf(log)
    expect(changes.map((change) => change.position).toSorted()).toEqual(
      inLog.map((change) => change.position).toSorted(),
    )
    const times = changes.map(({ time }) => time)
    expect(times).toEqual(times.toSorted())
    expect(changes.find(({ kind }) => kind === 'delete')).toEqual({
      position,
      partition: Number(position.split(':')[0]),
      collection: 'products',
      key: 'c',
      kind: 'delete',
      version,
      schemaVersion: 1,
      time: expect.any(String) as string,
      value: null,
      metadata: {},
    })
    expect(changes[0]).toMatchObject({ key: 'a', value: product('a'), version: '1', metadata: { by: 'ann' } })
  })

  it('goes on after a position, in its partition only', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    for (let price = 1; price <= 20; price++) await log.append(products.put(product(`p${price % 7}`, price)))
    const all = await changesOf(log)
    const middle = all[Math.floor(all.length / 2)]!
    const { partition, position } = middle
    const behind = all.filter(
      (change) => change.partition === partition && change.stamp.sequence > middle.stamp.sequence,
    )
    const ended = await headwater([
      'tail',
      '--from',
      position,
      '--no-follow',
      '--json',
      ...shop.at(namespace),
    ])
    expect(everyLine<TailedChange>(ended).map((change) => change.position)).toEqual(
      behind.map((change) => change.position),
    )
  })

  it('shows the partitions that are asked for, and ends at the limit', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    for (let price = 1; price <= 12; price++) await log.append(products.put(product(`p${price}`)))
    const all = await changesOf(log)
    const partitions = [...new Set(all.map(({ partition }) => partition))].slice(0, 2)
    const flags = partitions.flatMap((partition) => ['--partition', String(partition)])
    const some = await headwater([...fromBeginning, ...flags, ...shop.at(namespace)])
    expect(
      everyLine<TailedChange>(some)
        .map(({ position }) => position)
        .toSorted(),
    ).toEqual(
      all
        .filter(({ partition }) => partitions.includes(partition))
        .map(({ position }) => position)
        .toSorted(),
    )
    const three = await headwater([...fromBeginning, '--limit', '3', ...shop.at(namespace)])
    expect(everyLine(three)).toHaveLength(3)
  })

  it('writes lines for people, in which a key cannot move the cursor', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const { position } = await log.append(products.put(product('la\u001B[2Jmp\n')))
    const { stdout } = await headwater(['tail', '--from', 'beginning', '--no-follow', ...shop.at(namespace)])
    expect(stdout).toMatch(
      /^\d{4}-\d\d-\d\dT[\d:.]+Z {2}\d:1-1 {2}products\/la\\u001b\[2Jmp\\u000a {2}1 {2}\{.*\}\n$/,
    )
    expect(stdout).toContain(position)
  })

  it('refuses partitions and places that make no sense', async () => {
    const namespace = shop.namespace()
    await using _ = await shop.connect(namespace)
    const refused = async (...flags: string[]): Promise<unknown> => {
      const ended = await headwater(['tail', '--no-follow', '--json', ...flags, ...shop.at(namespace)])
      return { ending: ended.ending, ...(lastLine(ended) as { error: { code: string } }) }
    }
    expect(
      await Promise.all([
        refused('--partition', '4'),
        refused('--from', 'yesterday'),
        refused('--from', '1:1-1', '--partition', '2'),
        refused('--from', '1:1-1', '--from', 'now'),
        refused('--limit', '0'),
      ]),
    ).toMatchObject([
      { ending: 1, error: { code: 'OPTION_INVALID' } },
      { ending: 1, error: { code: 'POSITION_INVALID' } },
      { ending: 2, error: { code: 'USAGE' } },
      { ending: 2, error: { code: 'USAGE' } },
      { ending: 2, error: { code: 'USAGE' } },
    ])
  })

  it('ends quietly when its reader has seen enough', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    await Promise.all(Array.from({ length: 5_000 }, (_, at) => log.append(products.put(product(`p${at}`)))))
    const call = new Call([...fromBeginning, ...shop.at(namespace)])
    call.process.stdout.once('data', () => call.process.stdout.destroy())
    expect(await call.ended()).toMatchObject({ ending: 0, stderr: '' })
  })
})
