import { readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import type { OwnRedisServer } from '@headwater/local-servers'

/** The one that grows. */
export function appendOnlyFile({ dir }: OwnRedisServer): string {
  const folder = join(dir, 'appendonlydir')
  const files = readdirSync(folder).filter((name) => name.endsWith('.incr.aof'))
  return join(folder, files.toSorted((a, b) => numberOf(b) - numberOf(a))[0]!)
}

function numberOf(name: string): number {
  return Number(/\.(\d+)\.incr\.aof$/.exec(name)?.[1])
}

/**
 * As `redis-check-aof --fix` does before a server is started again: what is left ends with a whole command, and a whole
 * transaction. Else half of one would be executed by the start after next, or keep the server from starting.
 */
export function fixAppendOnlyFile(server: OwnRedisServer): void {
  const file = appendOnlyFile(server)
  const bytes = readFileSync(file)
  let [whole, at, inTransaction] = [0, 0, false]
  const line = (): number => {
    const end = bytes.indexOf('\r\n', at)
    if (end === -1) {
      at = Number.NaN
      return 0
    }
    const number = Number(bytes.toString('latin1', at + 1, end))
    at = end + 2
    return number
  }
  while (at < bytes.length) {
    const words: string[] = []
    for (let left = line(); left > 0; left--) {
      const length = line()
      words.push(bytes.toString('latin1', at, at + length))
      at += length + 2
    }
    if (!(at <= bytes.length)) break
    if (words[0] === 'MULTI') inTransaction = true
    if (words[0] === 'EXEC') inTransaction = false
    if (!inTransaction) whole = at
  }
  truncateSync(file, whole)
}
