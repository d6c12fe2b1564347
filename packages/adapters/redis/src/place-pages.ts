import { runScript, type RedisTarget } from './redis-target.ts'
import { textReply } from './reply.ts'
import type { Script } from './script.ts'

/** How many places are asked at the same time; a Cluster has 16,384 of them, and most may be empty. */
export const placesAtOnce = 256

/**
 * What a script says of the rows of every place, page by page. The script is given a cursor before the arguments, and answers
 * with the next one before what it has found.
 */
export async function* placePages(
  target: RedisTarget,
  script: Script,
  args: readonly string[],
  signal?: AbortSignal,
): AsyncGenerator<readonly string[], void, undefined> {
  const rowsKeys = target.keys.allPlaces().map(({ rows }) => rows)
  const pageOf = async (rowsKey: string, cursor: string): Promise<string[]> =>
    textReply(await runScript(target, script, { keys: [rowsKey], args: [cursor, ...args] }))
  for (let from = 0; from < rowsKeys.length; from += placesAtOnce) {
    signal?.throwIfAborted()
    const some = rowsKeys.slice(from, from + placesAtOnce)
    const firstPages = await Promise.all(some.map((rowsKey) => pageOf(rowsKey, '0')))
    for (const [at, rowsKey] of some.entries()) {
      let [cursor = '0', ...found] = firstPages[at]!
      yield found
      while (cursor !== '0') {
        signal?.throwIfAborted()
        ;[cursor = '0', ...found] = await pageOf(rowsKey, cursor)
        yield found
      }
    }
  }
}
