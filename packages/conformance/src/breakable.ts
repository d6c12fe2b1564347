import { guardSink, type Sink, type SinkPartition } from '@headwater/core'
import type { FaultySink } from './sink-harness.ts'

/**
 * Makes a sink faulty that has no link to break: a call of a partition fails before it has reached the sink, or
 * after. For sinks in the same process only; a server deserves a proxy, which also breaks between the requests of
 * one call.
 */
export function breakable(sink: Sink): FaultySink {
  let toPass = 0
  let cut: { readonly point: 'before' | 'after'; readonly happened: () => void } | undefined

  const arm = (point: 'before' | 'after', nth: number) =>
    new Promise<void>((happened) => {
      toPass = nth - 1
      cut = { point, happened }
    })

  async function through<T>(call: () => Promise<T>): Promise<T> {
    const hit = cut !== undefined && toPass-- === 0 ? cut : undefined
    if (hit?.point !== 'before') {
      const reply = await call()
      if (!hit) return reply
    }
    cut = undefined
    hit.happened()
    throw new Error('The link was cut.')
  }

  const breakablePartition = (partition: SinkPartition): SinkPartition => ({
    position: partition.position,
    apply: (changes, position, options) => through(() => partition.apply(changes, position, options)),
    advance: (position) => through(() => partition.advance(position)),
    ...(partition.snapshot && { snapshot: () => through(() => partition.snapshot!()) }),
    close: () => partition.close(),
  })
  return {
    // The guard's methods are bound to it, so they can be spread also where the sink is an instance of a class.
    sink: { ...guardSink(sink), open: async (options) => breakablePartition(await sink.open(options)) },
    link: {
      loseRequest: (_request, { nth }) => arm('before', nth),
      loseReply: (_request, { nth }) => arm('after', nth),
    },
  }
}
