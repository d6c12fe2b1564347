import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { headwater, lastLine } from './headwater.ts'
import { openShop, shop } from './opened-shop.ts'

const config = fileURLToPath(new URL('./shop.config.ts', import.meta.url))
let client: Redis

openShop()

beforeAll(async () => {
  client = new Redis(shop.server.options)
})

afterAll(async () => {
  client.disconnect()
})

const call = (namespace: string, file: string, ...args: readonly string[]) =>
  headwater(['doctor', '--config', file, ...args, ...shop.at(namespace)], {
    env: { REPLICA_URL: shop.server.url },
  })

describe('headwater doctor', () => {
  it('shows what it looked at and ends with 0 where nothing is wrong, with 1 and the remedy where something is', async () => {
    const namespace = shop.namespace()
    await (await shop.connect(namespace)).close()
    const well = await call(namespace, config)
    expect(well.ending).toBe(0)
    expect(well.stdout).toMatch(/✓ partitions: all \d+ are there/)
    expect(well.stdout).toMatch(/✓ sinks \(cache\): redis keys/)

    await client.unlink(`headwater:{${namespace}:0}:header`)
    const ill = await call(namespace, config, '--json')
    expect(ill.ending).toBe(1)
    expect(lastLine(ill)).toMatchObject({
      namespace,
      severity: 'problem',
      findings: expect.arrayContaining([
        expect.objectContaining({
          check: 'partitions',
          about: 'partition 0',
          remedy: expect.stringContaining('Restore') as string,
        }),
      ]) as unknown,
    })
  })

  it('counts a config that the log refuses as a finding, and looks at the rest', async () => {
    const namespace = shop.namespace()
    await (await shop.connect(namespace)).close()
    const folder = await mkdtemp(join(tmpdir(), 'headwater-doctor-'))
    const file = join(folder, 'headwater.config.ts')
    await writeFile(file, `export default { partitions: 77 }\n`)
    const ended = await call(namespace, file)
    await rm(folder, { recursive: true })
    expect(ended.ending).toBe(1)
    expect(ended.stdout).toMatch(/✗ config: .*77/)
    expect(ended.stdout).toMatch(/✓ partitions/)
  })
})
