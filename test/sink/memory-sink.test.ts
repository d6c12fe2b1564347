import { aBook, books, changeBuilder } from '@headwater/conformance'
import { memorySink } from '@headwater/core'
import { describe, expect, it } from 'vitest'

const lineage = { lineage: 'log-1', group: 'copy', partition: 0 }
const fence = { epoch: 1, token: 1, owner: 'worker' }
const position = { epoch: 1, sequence: 0, branch: 'a' }
const options = { signal: new AbortController().signal }

describe('a memory sink', () => {
  it('shows its live values by key', async () => {
    const log = changeBuilder({ collection: books })
    const sink = memorySink({ collection: books })
    const partition = await sink.open({ ...lineage, fence })
    await partition.apply([log.put(aBook('atlas')), log.put(aBook('novel'))], position, options)
    await partition.apply([log.delete('novel')], position, options)
    expect([...sink.entries()]).toEqual([['atlas', aBook('atlas')]])
  })

  it('gives a copy, which stays as it is when changes come and does not reach the sink when it is changed', async () => {
    const log = changeBuilder({ collection: books })
    const sink = memorySink({ collection: books })
    const partition = await sink.open({ ...lineage, fence })
    const before = sink.entries()
    await partition.apply([log.put(aBook('atlas'))], position, options)
    expect(before.size).toBe(0)
    sink.entries().clear()
    expect(sink.entries().size).toBe(1)
  })

  it('can be read after it was closed', async () => {
    const sink = memorySink({ collection: books })
    await sink.close()
    expect(sink.entries().size).toBe(0)
  })

  it('shares its target with another sink when told to, as two processes share a server', async () => {
    const log = changeBuilder({ collection: books })
    const first = memorySink({ collection: books })
    const second = memorySink({ collection: books, target: first.target })
    const partition = await second.open({ ...lineage, fence })
    await partition.apply([log.put(aBook('atlas'))], position, options)
    expect(first.entries()).toEqual(second.entries())
    await expect(first.open({ ...lineage, fence: { ...fence, token: 0 } })).rejects.toMatchObject({
      code: 'SINK_FENCED',
    })
  })
})
