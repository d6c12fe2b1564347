import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { Call, headwater } from './headwater.ts'
import { openShopAndReplica, replica, shop } from './shop-and-replica.ts'
import { product, products } from './shop.ts'

const config = fileURLToPath(new URL('shop.config.ts', import.meta.url))

openShopAndReplica()

/** A worker that answers probes, and where. */
async function running(
  namespace: string,
  env: Readonly<Record<string, string>> = {},
): Promise<[Call, string]> {
  const call = new Call(['run', config, '--http', '0', ...shop.at(namespace)], {
    env: { REPLICA_URL: replica.url, ...env },
  })
  await call.says(' started worker=')
  const [, at] = /http=(127\.0\.0\.1:\d+)/.exec(call.stderr) ?? []
  expect(at).toBeDefined()
  return [call, `http://${at}`]
}

describe('headwater run --http', () => {
  it('answers probes and collectors on this machine alone, and lets nobody change anything', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const [call, url] = await running(namespace)
    const { position } = await log.append(products.put(product('lamp')))
    await log.whenApplied(position, { group: 'cache', timeoutMs: 20_000 })

    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    await eventually(async () => {
      const ready = await fetch(`${url}/readyz`)
      expect([ready.status, await ready.json()]).toMatchObject([200, { ready: true, groups: { cache: {} } }])
    })
    const metrics = await (await fetch(`${url}/metrics`)).text()
    expect(metrics).toMatch(/^# TYPE headwater\w+ /m)
    expect(metrics).toMatch(/headwater_lag_time_count\{[^}]*messaging_consumer_group_name="cache"[^}]*\} \d+/)
    expect(metrics).not.toContain('Product ')
    const grammar = /^(#.*|\w+(\{(\w+="(\\["\\n]|[^"\\\n])*",?)*\})? [\d.e+-]+(Inf|NaN)?( \d+)?|)$/
    expect(metrics.split('\n').filter((line) => !grammar.test(line))).toEqual([])

    expect((await fetch(`${url}/readyz`, { method: 'POST' })).status).toBe(405)
    expect((await fetch(`${url}/anything`)).status).toBe(404)
    call.process.kill('SIGTERM')
    expect((await call.ended()).ending).toBe(0)
  })

  it('asks for the token that guards it, except where only a sign of life is wanted', async () => {
    const token = 'a secret of this test'.replaceAll(' ', '-')
    const [call, url] = await running(shop.namespace(), { HEADWATER_HTTP_TOKEN: token })
    const statusWith = async (authorization: string): Promise<number> =>
      (await fetch(`${url}/metrics`, { headers: { authorization } })).status
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect((await fetch(`${url}/readyz`)).status).toBe(401)
    expect(await statusWith('Bearer wrong')).toBe(401)
    expect(await statusWith(`Bearer ${token}`)).toBe(200)
    call.process.kill('SIGTERM')
    expect((await call.ended()).stderr).not.toContain(token)
  })

  it('refuses an address that it cannot read or have', async () => {
    for (const address of ['nonsense', '70000', '999.999.999.999:1']) {
      const ended = await headwater(['run', config, '--http', address, ...shop.at(shop.namespace())], {
        env: { REPLICA_URL: replica.url },
      })
      expect(ended.ending).toBe(2)
      expect(ended.stderr).toContain(address.split(':')[0])
    }
  })
})
