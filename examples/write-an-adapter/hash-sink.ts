import { applied, HeadwaterError, parseSortableStamp, sortableStamp, stale } from '@headwater/core'
import type { Change, Collection, Sink, SinkPosition, SinkRow } from '@headwater/core'
import type { Redis } from 'ioredis'

// One script is one atomic step: the fence is checked, newest stamps win, and the position goes along, or nothing happens.
// KEYS: values, rows ("stamp hash"), progress. ARGV: lineage, place, fence, position, then key, row and value in turn.
const script = `
  local values, rows, progress, lineage, place, fence, position = KEYS[1], KEYS[2], KEYS[3], unpack(ARGV, 1, 4)
  local newer = function(a, b) return string.sub(a, 1, 21) > string.sub(b or '', 1, 21) end
  local held = redis.call('HGET', progress, 'fence ' .. place)
  if position == 'open' then
    redis.call('HSETNX', progress, 'lineage', lineage)
    if redis.call('HGET', progress, 'lineage') ~= lineage then return 'other log' end
    if held and held ~= fence and not newer(fence, held) then return 'fenced' end
    redis.call('HSET', progress, 'fence ' .. place, fence)
    return redis.call('HGET', progress, 'position ' .. place) or ''
  end
  if held ~= fence then return 'fenced' end
  local taken = {}
  for at = 5, #ARGV, 3 do
    local key, row, value = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    if newer(row, redis.call('HGET', rows, key)) then
      redis.call('HSET', rows, key, row)
      if value == '' then redis.call('HDEL', values, key) else redis.call('HSET', values, key, value) end
      taken[#taken + 1] = key
    end
  end
  if newer(position, redis.call('HGET', progress, 'position ' .. place)) then
    redis.call('HSET', progress, 'position ' .. place, position)
  end
  return taken`

const positionText = (position: SinkPosition) => `${sortableStamp(position)} ${position.branch}`
const rowText = ({ stamp, hash }: Change) => `${sortableStamp(stamp)} ${hash}`
const rowOf = (key: string, row: string): SinkRow => {
  const hash = BigInt(row.slice(22))
  return { key, deleted: hash === 0n, stamp: parseSortableStamp(row), hash }
}

/** Keeps a collection as JSON in one Redis hash: `HGET <name> <key>`. */
export function hashSink<T>(client: Redis, collection: Collection<T>, name: string): Sink<T> {
  const [rows, progress, batch] = [`${name}:rows`, `${name}:progress`, { changes: 500, bytes: 1_000_000 }]
  return {
    name: `hash "${name}"`,
    collection,
    capabilities: { transactions: true, list: true, read: true, concurrency: 1, batch },
    async open({ lineage, group, partition, fence: { epoch, token, owner } }) {
      const fixed = [
        lineage,
        `${group} ${partition}`,
        `${sortableStamp({ epoch, sequence: token })} ${owner}`,
      ]
      const run = async (...args: string[]) => {
        const answer: unknown = await client.eval(script, 3, name, rows, progress, ...fixed, ...args)
        if (answer === 'fenced') throw new HeadwaterError('SINK_FENCED', 'It belongs to another worker now.')
        if (answer === 'other log') throw new HeadwaterError('SINK_MISCONFIGURED', 'It is of another log.')
        return answer as string | string[]
      }
      const held = (await run('open')) as string
      return {
        position: held === '' ? undefined : { ...parseSortableStamp(held), branch: held.slice(22) },
        async apply(changes, position) {
          const rowTexts = changes.flatMap((change) => [change.key, rowText(change), change.payload])
          const taken = new Set(await run(positionText(position), ...rowTexts))
          return changes.map(({ key }) => (taken.has(key) ? applied : stale))
        },
        advance: async (position) => void (await run(positionText(position))),
        close: async () => {},
      }
    },
    async *list() {
      for (const [key, row] of Object.entries(await client.hgetall(rows))) yield rowOf(key, row)
    },
    async read(keys) {
      if (keys.length === 0) return []
      const [heads, values] = await Promise.all([client.hmget(rows, ...keys), client.hmget(name, ...keys)])
      const contents = values.map((value): unknown => (value === null ? undefined : JSON.parse(value)))
      return heads.map((row, at) => (row ? { ...rowOf(keys[at]!, row), value: contents[at] } : undefined))
    },
    close: async () => {}, // The client is the caller's.
  }
}
