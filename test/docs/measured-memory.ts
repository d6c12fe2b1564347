import { randomUUID } from 'node:crypto'
import { connect, defineCollection } from '@headwater/core'
import { Redis, type RedisOptions } from 'ioredis'
import { z } from 'zod'

const keyLength = 8

export interface MeasuredLoad {
  readonly changes: number
  /** Of one value, as JSON. */
  readonly payloadBytes: number
  readonly state: 'values' | 'versions' | 'none'
  /** Whether each append has an idempotency key of 36 characters. */
  readonly idempotent?: boolean
}

/** What Redis needs more after so many changes of as many keys, in bytes a change. */
export async function bytesOfChange(target: RedisOptions, load: MeasuredLoad): Promise<number> {
  const { changes, payloadBytes, state, idempotent = false } = load
  const things = defineCollection('things', {
    schema: z.object({ id: z.string(), text: z.string() }),
    key: ({ id }) => id,
    state,
  })
  const text = 'x'.repeat(payloadBytes - JSON.stringify({ id: 'k'.repeat(keyLength), text: '' }).length)
  const client = new Redis(target)
  const log = await connect(target, {
    namespace: randomUUID(),
    partitions: 1,
    collections: [things],
  })
  try {
    const append = async (from: number, count: number): Promise<void> => {
      for (let first = from; first < from + count; first += 500) {
        await Promise.all(
          Array.from({ length: Math.min(500, from + count - first) }, (_, at) =>
            log.append(
              things.put({ id: String(first + at).padStart(keyLength, '0'), text }),
              idempotent ? { idempotencyKey: randomUUID() } : {},
            ),
          ),
        )
      }
    }
    // Whatever there is of a log once, and buffers of connections.
    await append(0, 1_000)
    const before = await usedMemory(client)
    await append(1_000, changes)
    return ((await usedMemory(client)) - before) / changes
  } finally {
    await log.close()
    client.disconnect()
  }
}

async function usedMemory(client: Redis): Promise<number> {
  return Number(/^used_memory_dataset:(\d+)/m.exec(await client.info('memory'))?.[1])
}
