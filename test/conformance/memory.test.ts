import { breakable, sinkConformance } from '@headwater/conformance'
import { memorySink } from '@headwater/core'

sinkConformance('memory', {
  supports: {
    transactions: true,
    list: true,
    read: true,
    replace: true,
    digest: true,
    snapshot: true,
    nul: true,
  },
  runs: 100,
  async open(collection) {
    const sink = memorySink({ collection })
    const another = async () => memorySink({ collection, target: sink.target })
    return {
      sink,
      another,
      faulty: async () => breakable(await another()),
      dump: async () => sink.entries(),
      close: async () => {},
    }
  },
})
