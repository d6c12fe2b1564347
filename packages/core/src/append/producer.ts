/**
 * The name under which batches are numbered: when it was given, in ms since 1970 by the clock of the Redis server, and what
 * makes it unique. Names older than a time can be forgotten together: see purge-producers.lua.
 */
export function producerAt(time: number | string, unique: string): string {
  return `${time}.${unique.slice(unique.indexOf('.') + 1)}`
}
