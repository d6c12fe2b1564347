import { existsSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { defineConfig } from '@headwater/cli'
import { HeadwaterError, memorySink, reject, type Sink } from '@headwater/core'
import { products } from './shop.ts'

/** A sink that lets nothing through before the file GATE exists, and rejects the key "secret". */
function gatedSink(): Sink {
  const memory = memorySink({ collection: products })
  return {
    ...memory,
    open: async (options) => {
      const partition = await memory.open(options)
      return {
        ...partition,
        apply: async (changes, position, call) => {
          process.stderr.write('at the gate\n')
          while (!existsSync(process.env['GATE']!)) await pause(10, undefined, { signal: call.signal })
          const outcomes = await partition.apply(changes, position, call)
          return outcomes.map((outcome, at) =>
            changes[at]!.key === 'secret'
              ? reject(new HeadwaterError('SINK_REJECTED', `No room for ${changes[at]!.payload}.`))
              : outcome,
          )
        },
      }
    },
  }
}

export default defineConfig({
  collections: [products],
  partitions: 4,
  drainMs: Number(process.env['DRAIN_MS'] ?? 60_000),
  groups: () => ({ gated: gatedSink() }),
})
