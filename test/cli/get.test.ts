import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { headwater, lastLine } from './headwater.ts'
import { openShop, shop } from './opened-shop.ts'
import { product, products, visits } from './shop.ts'

const config = fileURLToPath(new URL('shop.config.ts', import.meta.url))

openShop()

describe('headwater get', () => {
  it('shows value, version and position of a key, without any config', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    await log.append(products.put(product('lamp')))
    const { position } = await log.append(products.put(product('lamp', 800)))

    const asJson = await headwater(['get', 'products', 'lamp', '--json', ...shop.at(namespace)])
    expect(asJson).toMatchObject({ ending: 0, stderr: '' })
    expect(lastLine(asJson)).toEqual({
      collection: 'products',
      key: 'lamp',
      value: product('lamp', 800),
      version: '2',
      position,
    })

    const asText = await headwater(['get', 'products', 'lamp', ...shop.at(namespace)])
    expect(asText).toMatchObject({ ending: 0, stderr: '' })
    const [head, ...value] = asText.stdout.split('\n')
    expect(head).toBe(`products/lamp  version 2  position ${position}`)
    expect(JSON.parse(value.join('\n'))).toEqual(product('lamp', 800))
  })

  it('fails for a key that does not exist, and for one that was deleted', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    await log.append(products.put(product('lamp')))
    await log.append(products.delete('lamp'))
    const deleted = await headwater(['get', 'products', 'lamp', '--json', ...shop.at(namespace)])
    expect(deleted.ending).toBe(1)
    expect(lastLine(deleted)).toEqual({
      error: { code: 'KEY_ABSENT', message: 'Key "lamp" of products does not exist.' },
    })
    const unknown = await headwater(['get', 'products', 'desk', ...shop.at(namespace)])
    expect(unknown).toEqual({
      ending: 1,
      stdout: '',
      stderr: 'headwater: Key "desk" of products does not exist. [KEY_ABSENT]\n',
    })
  })

  it('finds keys that a partition key moved with the definition of a config, and asks for it otherwise', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    await log.append(visits.put({ id: 'a-1' }))
    const without = await headwater(['get', 'visits', 'a-1', '--json', ...shop.at(namespace)])
    expect(without.ending).toBe(1)
    expect(lastLine(without)).toMatchObject({ error: { code: 'DEFINITION_REQUIRED' } })
    const found = await headwater([
      'get',
      'visits',
      'a-1',
      '--json',
      '--config',
      config,
      ...shop.at(namespace),
    ])
    expect(lastLine(found)).toMatchObject({ value: { id: 'a-1' }, version: '1' })
  })

  it('creates neither the namespace nor the collection that it is asked for', async () => {
    const namespace = shop.namespace()
    const redis = new Redis(shop.server.options)
    const keys = (): Promise<string[]> => redis.keys(`headwater:{${namespace}*`)
    const nowhere = await headwater(['get', 'products', 'lamp', '--json', ...shop.at(namespace)])
    expect(nowhere.ending).toBe(1)
    expect(lastLine(nowhere)).toMatchObject({ error: { code: 'NAMESPACE_UNKNOWN' } })
    expect(await keys()).toEqual([])

    await using _ = await shop.connect(namespace)
    const before = (await keys()).toSorted()
    const noSuch = await headwater(['get', 'prodcuts', 'lamp', '--json', ...shop.at(namespace)])
    expect(lastLine(noSuch)).toMatchObject({
      error: {
        code: 'COLLECTION_UNKNOWN',
        message: expect.stringContaining('it has products, visits') as string,
      },
    })
    expect((await keys()).toSorted()).toEqual(before)
    redis.disconnect()
  })
})
