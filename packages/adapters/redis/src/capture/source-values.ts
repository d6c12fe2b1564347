import { textOf } from './key-pattern.ts'

/** What values of a source are here. Redis keeps bytes; what is no UTF-8 text cannot be captured as a value. */
export interface SourceValues {
  readonly string: string
  readonly hash: Readonly<Record<string, string>>
  readonly list: readonly string[]
  /** Sorted, since a set has no order. */
  readonly set: readonly string[]
  /** By score. */
  readonly zset: readonly { readonly member: string; readonly score: number }[]
}

export type SourceType = keyof SourceValues

/** Streams are none of them: they are logs, and no values. */
export const sourceTypes: readonly SourceType[] = ['string', 'hash', 'list', 'set', 'zset']

/** The command that reads a whole value. */
const commands: Readonly<Record<SourceType, (key: Buffer) => [string, ...(string | Buffer)[]]>> = {
  string: (key) => ['GET', key],
  hash: (key) => ['HGETALL', key],
  list: (key) => ['LRANGE', key, '0', '-1'],
  set: (key) => ['SMEMBERS', key],
  zset: (key) => ['ZRANGE', key, '0', '-1', 'WITHSCORES'],
}

export function readCommand(type: SourceType, key: Buffer): [string, ...(string | Buffer)[]] {
  return commands[type](key)
}

/** A value is no text. */
export class NoText extends Error {}

/** Undefined where the key is gone. @throws NoText */
export function parseValue(type: SourceType, reply: unknown): SourceValues[SourceType] | undefined {
  if (reply === null) return undefined
  if (type === 'string') return text(reply)
  const items = (reply as unknown[]).map(text)
  // In Redis an empty one is an absent one.
  if (items.length === 0) return undefined
  switch (type) {
    case 'list':
      return items
    case 'set':
      return items.toSorted()
    case 'hash':
      return Object.fromEntries(pairs(items))
    default:
      return pairs(items).map(([member, score]) => ({ member, score: scoreOf(score) }))
  }
}

function pairs(items: readonly string[]): [string, string][] {
  return Array.from({ length: items.length / 2 }, (_, at) => [items[at * 2]!, items[at * 2 + 1]!])
}

function scoreOf(score: string): number {
  if (score === 'inf') return Number.POSITIVE_INFINITY
  return score === '-inf' ? Number.NEGATIVE_INFINITY : Number(score)
}

function text(bytes: unknown): string {
  const read = textOf(bytes as Buffer)
  if (read === undefined) throw new NoText('it holds bytes that are no UTF-8 text')
  return read
}

/** How many bytes a reply holds, about. */
export function bytesOf(reply: unknown): number {
  if (Buffer.isBuffer(reply)) return reply.length
  return Array.isArray(reply) ? reply.reduce((sum: number, item) => sum + bytesOf(item), 0) : 0
}
