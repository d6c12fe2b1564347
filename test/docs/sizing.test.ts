import { readFileSync } from 'node:fs'
import { notes } from '@headwater/conformance'
import { memorySink, startWorker } from '@headwater/core'
import { startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openTestLog } from '../worker/test-log.ts'
import { root } from './code-blocks.ts'
import { bytesOfChange } from './measured-memory.ts'

interface Part {
  readonly fixed: number
  readonly ofPayload: number
  readonly ofKey: number
}

const rows = readFileSync(`${root}docs/sizing.md`, 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
const number = (cell: string | undefined): number => Number(cell?.replaceAll(/[,% ]/g, ''))
const [log, head, value, record] = ['log', 'head', 'value', 'idempotency'].map((name): Part => {
  const [, , fixed, ofPayload, ofKey] = rows.find(([first]) => first?.startsWith(name))!
  return { fixed: number(fixed), ofPayload: number(ofPayload), ofKey: number(ofKey) }
}) as [Part, Part, Part, Part]

function bytes({ fixed, ofPayload, ofKey }: Part, payload: number, key: number): number {
  return fixed + ofPayload * payload + ofKey * key
}

describe('the figures of docs/sizing.md', () => {
  let server: OwnRedisServer
  beforeAll(async () => {
    server = await startRedis({ own: true })
  })
  afterAll(() => server.stop())

  it.each([100, 1_024])(
    'are what a real server needs for values of %i bytes',
    async (payloadBytes) => {
      const measure = (state: 'values' | 'versions' | 'none', idempotent = false): Promise<number> =>
        bytesOfChange(server.options, { changes: 20_000, payloadBytes, state, idempotent })
      const alone = await measure('none')
      const versions = await measure('versions')
      const found = {
        log: alone,
        head: versions - alone,
        value: (await measure('values')) - versions,
        record: (await measure('none', true)) - alone,
      }
      for (const [name, part] of Object.entries({ log, head, value, record })) {
        const said = bytes(part, payloadBytes, 8)
        const measured = found[name as keyof typeof found]
        // The differences of large figures are themselves rough by some bytes.
        const slack = 0.2 * said + 0.06 * payloadBytes
        expect(Math.abs(measured - said), `${name}: ${measured} measured, ${said} said`).toBeLessThan(slack)
      }
    },
    60_000,
  )

  it('are worked out right in the examples', () => {
    const examples = rows.filter(([name]) => /^(small|medium|large):/.test(name!))
    expect(examples).toHaveLength(3)
    for (const [name, ...cells] of examples) {
      const [masters, rate, payload, key, keys, hours, share, ...said] = cells.map(number) as [
        ...[number, number, number, number, number, number, number],
        ...number[],
      ]
      const seconds = hours * 3_600
      const [partitions] = said.slice(-2) as [number]
      const logBytes = rate * seconds * bytes(log, payload, key)
      const stateBytes = keys * (bytes(head, payload, key) + bytes(value, payload, key))
      const recordBytes = rate * 86_400 * 1.5 * (share / 100) * bytes(record, payload, key)
      const needs = (logBytes + stateBytes + recordBytes) / masters
      const [inGb, machine] = [[logBytes, stateBytes, recordBytes, needs], (needs / 0.75) * 2]
      const worked = [...inGb, machine].map((of) => Number((of / 1e9).toPrecision(2)))
      const stream = Math.round(logBytes / partitions / 1e6)
      expect({ name, said }).toEqual({ name, said: [...worked, partitions, stream] })
    }
  })

  it('count the connections of a program', async () => {
    const opened = await openTestLog(server.options, { partitions: 8 })
    await opened.append(notes.put({ id: 'lamp', content: 1 }))
    const worker = await startWorker(opened, {
      groups: { one: memorySink({ collection: notes }), two: memorySink({ collection: notes }) },
    })
    const client = new Redis(server.options)
    try {
      await eventually(async () => {
        const names = String(await client.client('LIST'))
        expect(names.split(`name=headwater:${opened.namespace}:`)).toHaveLength(1 + 2 + 1 + 16)
      })
    } finally {
      client.disconnect()
      await worker.stop()
      await opened.close()
    }
  })
})
