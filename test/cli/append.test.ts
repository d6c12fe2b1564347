import { fileURLToPath } from 'node:url'
import { connect } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { headwater, lastLine } from './headwater.ts'
import { openShop, shop } from './opened-shop.ts'
import { changesOf, product, products } from './shop.ts'

const config = fileURLToPath(new URL('shop.config.ts', import.meta.url))
const lamp = JSON.stringify(product('lamp'))

openShop()

describe('headwater append', () => {
  it('puts a value that fits the definition of the config, and refuses one that does not', async () => {
    const at = ['--config', config, '--json', ...shop.at(shop.namespace())]
    const put = await headwater(['append', 'products', lamp, ...at])
    expect(put).toMatchObject({ ending: 0, stderr: '' })
    expect(lastLine(put)).toEqual({
      collection: 'products',
      key: 'lamp',
      version: '1',
      position: expect.stringMatching(/^[0-3]:1-1$/) as string,
      duplicate: false,
    })
    const misfit = await headwater(['append', 'products', '{"sku":"desk"}', ...at])
    expect(misfit.ending).toBe(1)
    expect(lastLine(misfit)).toMatchObject({
      error: { code: 'VALUE_INVALID', message: expect.stringContaining('priceCents') as string },
    })
  })

  it('reads the value from stdin for -', async () => {
    const at = ['--config', config, '--json', ...shop.at(shop.namespace())]
    const put = await headwater(['append', 'products', '-', ...at], { input: `${lamp}\n` })
    expect(lastLine(put)).toMatchObject({ key: 'lamp', version: '1' })
  })

  it('puts any object without a config, keyed by the property that it is told', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const at = shop.at(namespace)
    const put = await headwater(['append', 'products', lamp, '--key', 'sku', ...at])
    expect(put).toMatchObject({ ending: 0, stderr: '' })
    expect(put.stdout).toMatch(/^products\/lamp is at version 1, position [0-3]:1-1\n$/)
    expect(await log.get(products, 'lamp')).toMatchObject({ value: product('lamp') })

    const keyless = await headwater(['append', 'products', lamp, '--json', ...at])
    expect(keyless.ending).toBe(1)
    expect(lastLine(keyless)).toMatchObject({
      error: { code: 'KEY_INVALID', message: expect.stringContaining('--key names the property') as string },
    })
    const noObject = await headwater(['append', 'products', '[1]', '--json', ...at])
    expect(lastLine(noObject)).toMatchObject({ error: { code: 'VALUE_INVALID' } })
    const noJson = await headwater(['append', 'products', '{', '--json', ...at])
    expect(noJson.ending).toBe(2)
    expect(lastLine(noJson)).toMatchObject({ error: { code: 'USAGE' } })
  })

  it('creates namespace and collection without a config only when told to', async () => {
    const namespace = shop.namespace()
    const args = ['append', 'notes', '{"id":7,"text":"hello"}', '--json', ...shop.at(namespace)]
    const refused = await headwater(args)
    expect(refused.ending).toBe(1)
    expect(lastLine(refused)).toMatchObject({ error: { code: 'NAMESPACE_UNKNOWN' } })
    const created = await headwater([...args, '--create'])
    expect(created.ending).toBe(0)
    expect(lastLine(created)).toMatchObject({ key: '7', version: '1' })
    const again = await headwater(args)
    expect(lastLine(again)).toMatchObject({ key: '7', version: '2' })
  })

  it('refuses when the key is not at the expected version', async () => {
    const at = ['--config', config, '--json', ...shop.at(shop.namespace())]
    const first = await headwater(['append', 'products', lamp, '--expected', 'absent', ...at])
    expect(first.ending).toBe(0)
    const second = await headwater(['append', 'products', lamp, '--expected', 'absent', ...at])
    expect(second.ending).toBe(1)
    expect(lastLine(second)).toMatchObject({ error: { code: 'VERSION_CONFLICT' } })
    const third = await headwater(['append', 'products', lamp, '--expected', '1', ...at])
    expect(lastLine(third)).toMatchObject({ version: '2' })
    const nonsense = await headwater(['append', 'products', lamp, '--expected', 'soon', ...at])
    expect(lastLine(nonsense)).toMatchObject({ error: { code: 'EXPECTED_INVALID' } })
  })

  it('stores one change for one idempotency key, and gives every repetition its result', async () => {
    const at = ['--config', config, '--idempotency-key', 'order-1', '--json', ...shop.at(shop.namespace())]
    const first = await headwater(['append', 'products', lamp, ...at])
    const second = await headwater(['append', 'products', lamp, ...at])
    expect(lastLine(second)).toEqual({ ...(lastLine(first) as object), duplicate: true })
  })

  it('sends metadata along', async () => {
    const namespace = shop.namespace()
    const metadata = ['--metadata', 'by=ann', '--metadata', 'why=a=b']
    const at = ['--config', config, ...shop.at(namespace)]
    await headwater(['append', 'products', lamp, ...metadata, ...at])
    await using log = await connect(shop.server.url, { namespace, create: false })
    expect((await changesOf(log)).map((change) => change.metadata)).toEqual([{ by: 'ann', why: 'a=b' }])
    const broken = await headwater(['append', 'products', lamp, '--metadata', 'by', ...at])
    expect(broken.ending).toBe(2)
  })

  it('refuses a collection that the config does not define, and options that its definition answers', async () => {
    const at = ['--config', config, '--json', ...shop.at(shop.namespace())]
    const unknown = await headwater(['append', 'prodcuts', lamp, ...at])
    expect(unknown.ending).toBe(2)
    expect(lastLine(unknown)).toMatchObject({
      error: { code: 'USAGE', message: expect.stringContaining('it has products, visits') as string },
    })
    const superfluous = await headwater(['append', 'products', lamp, '--key', 'name', ...at])
    expect(superfluous.ending).toBe(2)
  })
})

describe('headwater delete', () => {
  it('deletes a key, at the expected version if one is given', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    await log.append(products.put(product('lamp')))
    const at = ['--json', ...shop.at(namespace)]
    const tooEarly = await headwater(['delete', 'products', 'lamp', '--expected', '2', ...at])
    expect(tooEarly.ending).toBe(1)
    expect(lastLine(tooEarly)).toMatchObject({ error: { code: 'VERSION_CONFLICT' } })
    expect(await log.get(products, 'lamp')).toBeDefined()
    const deleted = await headwater(['delete', 'products', 'lamp', '--expected', '1', ...at])
    expect(deleted.ending).toBe(0)
    expect(lastLine(deleted)).toMatchObject({ key: 'lamp', version: '2' })
    expect(await log.get(products, 'lamp')).toBeUndefined()
  })
})
