import { atomicSink, HeadwaterError, type Collection, type Sink } from '@headwater/core'
import type { Redis } from 'ioredis'

// One script is one atomic step: the fence is checked, newer rows are put in, and the position goes along, or nothing happens.
// KEYS: values, rows, progress. ARGV: lineage, place, fence, position, then key, row and value in turn.
const script = `
  local values, rows, progress, lineage, place, fence, position = KEYS[1], KEYS[2], KEYS[3], unpack(ARGV, 1, 4)
  local newer = function(a, b) return string.match(a, '%S+') > (string.match(b or '', '%S+') or '') end
  local held = redis.call('HGET', progress, 'fence ' .. place)
  if position == 'open' then
    redis.call('HSETNX', progress, 'lineage', lineage)
    if redis.call('HGET', progress, 'lineage') ~= lineage then return 'other log' end
    if held ~= fence and not newer(fence, held) then return 'fenced' end
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

/** Keeps a collection as JSON in one Redis hash: `HGET <name> <key>`. */
export function hashSink<T>(client: Redis, collection: Collection<T>, name: string): Sink<T> {
  const heads = `${name}:rows`
  const run = async (...args: string[]): Promise<unknown> => {
    const answer = await client.eval(script, 3, name, heads, `${name}:progress`, ...args)
    if (answer === 'fenced') throw new HeadwaterError('SINK_FENCED', 'It belongs to another worker now.')
    if (answer === 'other log') throw new HeadwaterError('SINK_MISCONFIGURED', 'It is of another log.')
    return answer
  }
  return atomicSink(collection, {
    name: `hash "${name}"`,
    open: async ({ lineage, place, fence }) => (await run(lineage, place, fence, 'open')) as string,
    async write({ lineage, place, fence, position, rows }) {
      const texts = rows.flatMap(({ key, row, value }) => [key, row, value])
      return (await run(lineage, place, fence, position, ...texts)) as string[]
    },
    async *list() {
      yield* Object.entries(await client.hgetall(heads))
    },
    async read(keys) {
      const [rows, values] = await Promise.all([client.hmget(heads, ...keys), client.hmget(name, ...keys)])
      return keys.map((_key, index) => ({ row: rows[index], value: values[index] }))
    },
  })
}
