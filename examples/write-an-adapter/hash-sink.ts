import {
  applied,
  HeadwaterError,
  stale,
  type Collection,
  type Sink,
  type SinkPosition,
} from '@headwater/core'
import type { Redis } from 'ioredis'

// One script is one atomic step: the fence is checked, newest stamps win, and the position goes along, or nothing happens.
// KEYS: values, rows ("epoch sequence hash"), progress. ARGV: lineage, field, fence, position, then key, row and value in turn.
const script = `
  local values, rows, progress, lineage, field, fence = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3]
  local newer = function(a, b) -- by the first two numbers
    local a1, a2, b1, b2 = string.match(a .. '|' .. b, '^(%d+) (%d+)[^|]*|(%d+) (%d+)')
    return tonumber(a1) > tonumber(b1) or (a1 == b1 and tonumber(a2) > tonumber(b2))
  end
  local held = redis.call('HGET', progress, 'fence ' .. field)
  if ARGV[4] == 'open' then
    redis.call('HSETNX', progress, 'lineage', lineage)
    if redis.call('HGET', progress, 'lineage') ~= lineage then return 'other log' end
    if held and held ~= fence and not newer(fence, held) then return 'fenced' end
    redis.call('HSET', progress, 'fence ' .. field, fence)
    return redis.call('HGET', progress, 'position ' .. field) or ''
  end
  if held ~= fence then return 'fenced' end
  local taken = {}
  for at = 5, #ARGV, 3 do
    local key, row, value = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    if newer(row, redis.call('HGET', rows, key) or '0 0') then
      redis.call('HSET', rows, key, row)
      if value == '' then redis.call('HDEL', values, key) else redis.call('HSET', values, key, value) end
      taken[#taken + 1] = key
    end
  end
  local position = redis.call('HGET', progress, 'position ' .. field)
  if not position or newer(ARGV[4], position) then redis.call('HSET', progress, 'position ' .. field, ARGV[4]) end
  return taken`

/** Keeps a collection as JSON in one Redis hash: `HGET <name> <key>`. */
export function hashSink<T>(client: Redis, collection: Collection<T>, name: string): Sink<T> {
  const rowsKey = `${name}:rows`
  return {
    name: `hash "${name}"`,
    collection,
    capabilities: {
      transactions: true,
      list: true,
      read: true,
      concurrency: 1,
      batch: { changes: 500, bytes: 1_000_000 },
    },
    async open({ lineage, group, partition, fence }) {
      const run = async (...args: string[]): Promise<unknown> => {
        const fixed = [lineage, `${group} ${partition}`, `${fence.epoch} ${fence.token} ${fence.owner}`]
        const answer: unknown = await client.eval(
          script,
          3,
          name,
          rowsKey,
          `${name}:progress`,
          ...fixed,
          ...args,
        )
        if (answer === 'fenced')
          throw new HeadwaterError('SINK_FENCED', `Partition ${partition} belongs to another worker.`)
        if (answer === 'other log')
          throw new HeadwaterError('SINK_MISCONFIGURED', `Hash "${name}" holds data of another log.`)
        return answer
      }
      const [epoch, sequence, branch = ''] = String(await run('open')).split(' ')
      return {
        position:
          sequence === undefined ? undefined : { epoch: Number(epoch), sequence: Number(sequence), branch },
        async apply(changes, position) {
          const rows = changes.flatMap(({ key, stamp, hash, payload }) => [
            key,
            `${stamp.epoch} ${stamp.sequence} ${hash}`,
            payload,
          ])
          const taken = new Set((await run(text(position), ...rows)) as string[])
          return changes.map(({ key }) => (taken.has(key) ? applied : stale))
        },
        advance: async (position) => void (await run(text(position))),
        close: async () => {},
      }
    },
    async *list() {
      for (const [key, row] of Object.entries(await client.hgetall(rowsKey))) yield rowOf(key, row, null)
    },
    async read(keys) {
      if (keys.length === 0) return []
      const [rows, values] = await Promise.all([client.hmget(rowsKey, ...keys), client.hmget(name, ...keys)])
      return rows.map((row, at) => (row === null ? undefined : rowOf(keys[at]!, row, values[at]!)))
    },
    close: async () => {}, // The client is the caller's.
  }
}

const rowOf = (key: string, row: string, value: string | null) => {
  const [epoch, sequence, hash] = row.split(' ') as [string, string, string]
  const stamp = { epoch: Number(epoch), sequence: Number(sequence) }
  return {
    key,
    deleted: hash === '0',
    stamp,
    hash: BigInt(hash),
    value: value === null ? undefined : (JSON.parse(value) as unknown),
  }
}

const text = ({ epoch, sequence, branch }: SinkPosition) => `${epoch} ${sequence} ${branch}`
