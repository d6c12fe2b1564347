import { HeadwaterError } from '@headwater/core'
import type {
  HashValue,
  RdbEntry,
  RdbItem,
  ScoredMember,
  StreamGroup,
  StreamId,
  StreamValue,
} from '@headwater/rdb'
import { holdTime } from './held-expiry.ts'

type Argument = string | Buffer
type Command = readonly Argument[]

/** Elements that one command brings at most: enough to be fast, few enough not to hold up the target. */
const ELEMENTS_MAX = 512
const BYTES_MAX = 1 << 20

/** The commands that make of an empty target what an item of a dump says, with expiries held back. */
export function* rebuild(item: RdbItem): Generator<Command, void, void> {
  switch (item.kind) {
    case 'entry':
      yield* rebuildValue(item)
      if (item.expiresAtMs !== undefined) yield ['PEXPIREAT', item.key, holdTime(item.expiresAtMs)]
      break
    case 'function':
      yield ['FUNCTION', 'LOAD', 'REPLACE', item.code]
      break
    case 'pre-release-function':
      throw new HeadwaterError(
        'SOURCE_REFUSED',
        `The source holds function ${JSON.stringify(item.name.toString())} in a form that no release of Redis loads.`,
      )
    default:
  }
}

function* rebuildValue({ key, value }: RdbEntry): Generator<Command, void, void> {
  switch (value.type) {
    case 'string':
      yield ['SET', key, value.value]
      break
    case 'list':
      yield* inPortions(['RPUSH', key], value.elements, 1)
      break
    case 'set':
      yield* inPortions(['SADD', key], value.members, 1)
      break
    case 'zset':
      yield* inPortions(['ZADD', key], negativeZeroLast(value.members).flatMap(scoreAndMember), 2)
      break
    case 'hash':
      yield* rebuildHash(key, value)
      break
    case 'stream':
      yield* rebuildStream(key, value)
  }
}

// Small sorted sets store -0 as 0, large ones keep it: when it comes last, the set has the size that it had at the source.
function negativeZeroLast(members: readonly ScoredMember[]): readonly ScoredMember[] {
  if (!members.some(isNegativeZero)) return members
  return [...members.filter((member) => !isNegativeZero(member)), ...members.filter(isNegativeZero)]
}

function isNegativeZero({ score }: ScoredMember): boolean {
  return Object.is(score, -0)
}

function scoreAndMember({ score, member }: ScoredMember): Argument[] {
  if (Number.isFinite(score)) return [Object.is(score, -0) ? '-0' : String(score), member]
  return [score > 0 ? 'inf' : '-inf', member]
}

function* rebuildHash(key: Buffer, { fields }: HashValue): Generator<Command, void, void> {
  yield* inPortions(
    ['HSET', key],
    fields.flatMap(({ field, value }) => [field, value]),
    2,
  )
  for (const { field, expiresAtMs } of fields)
    if (expiresAtMs !== undefined) yield ['HPEXPIREAT', key, holdTime(expiresAtMs), 'FIELDS', '1', field]
}

function* rebuildStream(key: Buffer, stream: StreamValue): Generator<Command, void, void> {
  const { entries, lastId, maxDeletedId, entriesAdded, groups } = stream
  const gone = deletedButPending(stream)
  const all = [...entries, ...gone.map((id) => ({ id, fields: [Buffer.from('f'), Buffer.from('v')] }))]
  all.sort((a, b) => compareIds(a.id, b.id))
  if (all.length === 0) {
    // A stream can be empty; a command that makes one is a group's.
    yield ['XGROUP', 'CREATE', key, 'headwater', '0', 'MKSTREAM']
    yield ['XGROUP', 'DESTROY', key, 'headwater']
  }
  for (const { id, fields } of all) yield ['XADD', key, formatId(id), ...fields]
  for (const group of groups) yield* rebuildGroup(key, group)
  if (gone.length > 0) yield* inPortions(['XDEL', key], gone.map(formatId), 1)
  const counts =
    entriesAdded === undefined || maxDeletedId === undefined
      ? []
      : ['ENTRIESADDED', String(entriesAdded), 'MAXDELETEDID', formatId(maxDeletedId)]
  if (lastId.ms !== 0n || lastId.sequence !== 0n) yield ['XSETID', key, formatId(lastId), ...counts]
}

function* rebuildGroup(key: Buffer, group: StreamGroup): Generator<Command, void, void> {
  const { name, lastDeliveredId, entriesRead, consumers, pending } = group
  const read = entriesRead === undefined ? [] : ['ENTRIESREAD', String(entriesRead)]
  yield ['XGROUP', 'CREATE', key, name, formatId(lastDeliveredId), ...read]
  for (const consumer of consumers) yield ['XGROUP', 'CREATECONSUMER', key, name, consumer.name]
  for (const { id, consumer, deliveredAtMs, deliveries } of pending) {
    const delivery = ['TIME', String(deliveredAtMs), 'RETRYCOUNT', String(deliveries)]
    yield ['XCLAIM', key, name, consumer, '0', formatId(id), ...delivery, 'FORCE', 'JUSTID']
  }
}

// An entry can be claimed only while it is there: it is added again, claimed, and deleted again.
function deletedButPending({ entries, groups }: StreamValue): StreamId[] {
  const living = new Set(entries.map(({ id }) => formatId(id)))
  const gone = new Map<string, StreamId>()
  for (const { pending } of groups)
    for (const { id } of pending) if (!living.has(formatId(id))) gone.set(formatId(id), id)
  return [...gone.values()].sort(compareIds)
}

function* inPortions(
  head: readonly Argument[],
  elements: readonly Argument[],
  together: number,
): Generator<Command, void, void> {
  let portion: Argument[] = []
  let bytes = 0
  for (const [index, element] of elements.entries()) {
    portion.push(element)
    bytes += element.length
    const isWhole = (index + 1) % together === 0
    if (!isWhole || (portion.length < ELEMENTS_MAX && bytes < BYTES_MAX)) continue
    yield [...head, ...portion]
    portion = []
    bytes = 0
  }
  if (portion.length > 0) yield [...head, ...portion]
}

function formatId({ ms, sequence }: StreamId): string {
  return `${ms}-${sequence}`
}

function compareIds(a: StreamId, b: StreamId): number {
  if (a.ms !== b.ms) return a.ms < b.ms ? -1 : 1
  return a.sequence < b.sequence ? -1 : a.sequence > b.sequence ? 1 : 0
}
