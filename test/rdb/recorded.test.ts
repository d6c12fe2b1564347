import { createReadStream, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { collect } from './collect.ts'
import { type Keyspace, keyspaceOfItems } from './keyspace.ts'

// Dumps of servers that are not at hand wherever these tests run, with what each server said of its keys.
// `REDIS_SERVER_BIN=… node --conditions=@headwater/source --import tsx test/rdb/record-process.ts` makes another.
const folder = join(import.meta.dirname, 'recorded')
const recorded = readdirSync(folder)
  .filter((file) => file.endsWith('.rdb'))
  .map((file) => file.replace(/\.rdb$/, ''))

describe('a recorded dump', () => {
  it('is there of the newest servers that are supported', () => {
    expect(recorded).toEqual(expect.arrayContaining(['redis-8.0.2', 'valkey-8.1.1']))
  })

  it.each(recorded)('of %s says of every key what the server said', async (name) => {
    const said = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as Keyspace
    const items = await collect(createReadStream(join(folder, `${name}.rdb`)))
    expect(keyspaceOfItems(items)).toEqual(said)
  })

  it('has fields that expire, small hashes and large ones', async () => {
    const items = await collect(createReadStream(join(folder, 'redis-8.0.2.rdb')))
    const expiring = items.filter(
      (item) =>
        item.kind === 'entry' &&
        item.value.type === 'hash' &&
        item.value.fields.some(({ expiresAtMs }) => expiresAtMs !== undefined),
    )
    expect(expiring.length).toBeGreaterThan(10)
    expect(items[0]).toEqual({ kind: 'header', version: 12 })
  })
})
