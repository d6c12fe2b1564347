import { followCollection } from '@headwater/client'
import { connect, defineCollection, feedHandler } from '@headwater/core'
import { startProxy } from '@headwater/local-servers'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { serveFeed } from './feed-server.ts'
import { Oracle, Witness } from './witness.ts'

const schema = z.object({ id: z.string(), n: z.int() })
const things = defineCollection('things', { schema, key: ({ id }) => id })
type Thing = z.infer<typeof schema>

startOwnRedis({ protocol: 2 })

/** A client as a program without our client writes it: each event is seen, and every connection goes on behind the last. */
class PlainClient {
  readonly witness = new Witness()
  readonly #url: string
  #position = ''
  #closed = false
  readonly ended: Promise<void>

  constructor(url: string) {
    this.#url = url
    this.ended = this.#run()
  }

  close(): void {
    this.#closed = true
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      // Cut connections are what this is about.
      await this.#connect().catch(() => {})
    }
  }

  async #connect(): Promise<void> {
    const { body } = await fetch(this.#url, {
      headers: this.#position ? { 'last-event-id': this.#position } : {},
    })
    let text = ''
    for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
      if (this.#closed) return
      text += chunk
      const blocks = text.split('\n\n')
      text = blocks.pop()!
      for (const block of blocks) this.#see(block)
    }
  }

  #see(block: string): void {
    const data = /^data: (.+)$/m.exec(block)?.[1]
    if (data) this.witness.see(JSON.parse(data) as Parameters<Witness['see']>[0])
    this.#position = /^id: (.+)$/m.exec(block)?.[1] ?? this.#position
  }
}

describe('fifty subscribers over HTTP', () => {
  it('each see every change once and in order, while their connections and ours to Redis are cut under load', async () => {
    const namespace = 'fifty'
    const toRedis = await startProxy({ path: server.socketPath })
    await using log = await connect(
      { path: toRedis.address.path! },
      { namespace, collections: [things], partitions: 3 },
    )
    await using writer = await connect(server.options, { namespace, collections: [things] })
    await using handler = feedHandler(log, { collections: [things], authorize: () => true, buffer: 40 })
    await using http = await serveFeed(handler)
    await using toServer = await startProxy({ host: http.host, port: http.port })
    const url = `http://127.0.0.1:${toServer.address.port}/feed`
    const plain = Array.from({ length: 40 }, () => new PlainClient(`${url}?from=beginning`))
    const copies = Array.from({ length: 10 }, () =>
      followCollection<Thing>(url, { reconnect: { firstMs: 20, maxMs: 50 } }),
    )
    await eventually(() => expect(handler.subscriptions).toBe(50))

    for (let round = 0; round < 40; round++) {
      const appending = Promise.all(
        Array.from({ length: 25 }, (_, n) => {
          const id = `k${(round * 7 + n) % 60}`
          return writer.append(n % 9 === 8 ? things.delete(id) : things.put({ id, n: round }))
        }),
      )
      const fate = Math.random()
      if (fate < 0.15) toServer.cut()
      else if (fate < 0.3) toRedis.cut()
      else if (fate < 0.4) await client.client('KILL', 'TYPE', 'PUBSUB')
      await appending
    }
    toServer.cut()
    toRedis.cut()
    const oracle = await Oracle.read(writer)
    expect(oracle.places.size).toBe(1_000)
    await eventually(
      () => expect(plain.filter(({ witness }) => !witness.isComplete(oracle, false))).toHaveLength(0),
      { timeoutMs: 20_000 },
    )
    const faults = plain.map(({ witness }) => witness.judge(oracle, false))
    expect(faults.filter((fault) => fault !== undefined)).toEqual([])
    const present = [...oracle.present].flatMap(([key, position]) => (position ? [key] : [])).toSorted()
    const values = await writer.getMany(things, present)
    await eventually(() => {
      for (const copy of copies) {
        expect([...copy.keys()].toSorted()).toEqual(present)
        expect(present.map((key) => copy.get(key))).toEqual(values.map((entity) => entity!.value))
      }
    })
    for (const each of [...plain, ...copies]) each.close()
    toServer.cut()
    await handler.close()
    await Promise.all(plain.map(({ ended }) => ended))
    await toRedis.stop()
  }, 60_000)
})
