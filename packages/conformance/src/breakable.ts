import { guardSink, type Sink, type SinkPartition } from '@headwater/core'
import type { FaultySink } from './sink-harness.ts'

/**
 * Makes a sink faulty that has no link to break: the next call of a partition fails before it has reached the
 * sink, or after. For sinks in the same process only; a server deserves a proxy, which can also break in the middle.
 */
export function breakable(sink: Sink): FaultySink {
  let next: 'before' | 'after' | undefined
  let cuts = 0
  const cut = () => {
    next = undefined
    cuts++
    throw new Error('The link was cut.')
  }
  const through = async <T>(call: () => Promise<T>): Promise<T> => {
    if (next === 'before') cut()
    const reply = await call()
    if (next === 'after') cut()
    return reply
  }
  const breakablePartition = (partition: SinkPartition): SinkPartition => ({
    position: partition.position,
    apply: (changes, position, options) => through(() => partition.apply(changes, position, options)),
    advance: (position) => through(() => partition.advance(position)),
    close: () => partition.close(),
  })
  return {
    // The guard's methods are bound to it, so they can be spread also where the sink is an instance of a class.
    sink: { ...guardSink(sink), open: async (options) => breakablePartition(await sink.open(options)) },
    link: {
      cutAfterRequestBytes: () => {
        next = 'before'
      },
      cutAfterReplyBytes: () => {
        next = 'after'
      },
      heal: () => {
        next = undefined
      },
      get cuts() {
        return cuts
      },
    },
  }
}
