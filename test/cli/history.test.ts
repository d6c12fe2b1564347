import { fileURLToPath } from 'node:url'
import { connect } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { counters } from './counters.config.ts'
import { everyLine, headwater, lastLine } from './headwater.ts'
import { openShop, shop } from './opened-shop.ts'
import { product, products, visits } from './shop.ts'

const config = fileURLToPath(new URL('shop.config.ts', import.meta.url))

openShop()

describe('headwater history', () => {
  it('shows every change of a key in order, and of no other key', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const first = await log.append(products.put(product('lamp')), { metadata: { by: 'ada' } })
    await log.append(products.put(product('desk')))
    await log.append(products.put(product('lamp', 800)))
    await log.append(products.delete('lamp'))
    const ended = await headwater(['history', 'products', 'lamp', '--json', ...shop.at(namespace)])
    expect(ended).toMatchObject({ ending: 0, stderr: '' })
    expect(everyLine(ended)).toMatchObject([
      {
        position: first.position,
        version: '1',
        kind: 'put',
        value: product('lamp'),
        metadata: { by: 'ada' },
      },
      { version: '2', kind: 'put', value: product('lamp', 800) },
      { version: '3', kind: 'delete', value: null },
    ])
    const asText = await headwater(['history', 'products', 'lamp', '--limit', '1', ...shop.at(namespace)])
    expect(asText.stdout).toMatch(/^\S+Z {2}\S+ {2}products\/lamp {2}1 {2}\{.*\} {2}by=ada\n$/)
  })

  it('shows the value as of a version, a position or a time', { timeout: 60_000 }, async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const first = await log.append(products.put(product('lamp')))
    await log.append(products.put(product('lamp', 800)))
    const at = (moment: string) =>
      headwater(['history', 'products', 'lamp', '--at', moment, '--json', ...shop.at(namespace)])
    for (const moment of ['1', first.position])
      expect(lastLine(await at(moment))).toMatchObject({ value: product('lamp'), version: '1' })
    expect(lastLine(await at('2999-01-01'))).toMatchObject({ value: product('lamp', 800), version: '2' })
    const before = await at('2001-01-01')
    expect(before.ending).toBe(1)
    expect(lastLine(before)).toMatchObject({ error: { code: 'KEY_ABSENT' } })
    const nonsense = await at('yesterday')
    expect(nonsense.ending).toBe(2)
    expect(lastLine(nonsense)).toMatchObject({
      error: { code: 'USAGE', message: expect.stringContaining('"yesterday"') as string },
    })
  })

  it(
    'finds keys without a definition too: of deciders, and where a partition key moved them',
    { timeout: 60_000 },
    async () => {
      const namespace = shop.namespace()
      await using log = await connect(shop.server.url, { namespace, collections: [counters, visits] })
      await log.decide(counters, 'ada', 2)
      await log.decide(counters, 'ada', 3)
      await log.append(visits.put({ id: 'a-1' }))
      const events = await headwater(['history', 'counters', 'ada', '--json', ...shop.at(namespace)])
      expect(everyLine(events)).toMatchObject([
        { kind: 'event', version: '1', value: { type: 'added', data: { by: 2 } } },
        { kind: 'event', version: '2', value: { type: 'added', data: { by: 3 } } },
      ])
      const moved = await headwater(['history', 'visits', 'a-1', '--json', ...shop.at(namespace)])
      expect(everyLine(moved)).toMatchObject([{ value: { id: 'a-1' } }])
      const withConfig = ['history', 'visits', 'a-1', '--json', '--config', config]
      const defined = await headwater([...withConfig, ...shop.at(namespace)])
      expect(everyLine(defined)).toEqual(everyLine(moved))
      const folded = await headwater(['get', 'counters', 'ada', '--json', ...shop.at(namespace)])
      expect(lastLine(folded)).toMatchObject({ error: { code: 'DEFINITION_REQUIRED' } })
    },
  )

  it(
    'fails for a key that never was, and suggests the collection that was meant',
    { timeout: 60_000 },
    async () => {
      const namespace = shop.namespace()
      await using _ = await shop.connect(namespace)
      const absent = await headwater(['history', 'products', 'lamp', '--json', ...shop.at(namespace)])
      expect(absent.ending).toBe(1)
      expect(lastLine(absent)).toMatchObject({ error: { code: 'KEY_ABSENT' } })
      for (const command of ['history', 'get']) {
        const misspelt = await headwater([command, 'prodcuts', 'lamp', ...shop.at(namespace)])
        expect(misspelt.stderr).toMatch(
          /it has products, visits\. Did you mean products\? \[COLLECTION_UNKNOWN\]\n$/,
        )
      }
      const farOff = await headwater(['get', 'zebra', 'lamp', ...shop.at(namespace)])
      expect(farOff.stderr).not.toContain('Did you mean')
    },
  )
})
