import type { Stamp } from '../change/stamp.ts'
import { formatCheckpoint, parseCheckpoint } from '../group/checkpoint.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import { source as epochLua } from '../namespace/epoch.lua.ts'
import { source as epochsLua } from '../namespace/epochs.lua.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { persist } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import { source as holdLua } from './hold.lua.ts'

const holdScript = script('hold', epochLua, epochsLua, holdLua)

/** What a hold is for. `archive` is the archive's own, and stays for as long as the log has one. */
export type HoldKind = 'copy' | 'rebuild' | 'feed' | 'replay' | 'redrive' | 'verify' | 'archive'

const holdKinds: ReadonlySet<string> = new Set<HoldKind>([
  'copy',
  'rebuild',
  'feed',
  'replay',
  'redrive',
  'verify',
  'archive',
])

/** Whose hold, under which name. The same owner may take it again; another one only when it was released or has expired. */
export interface HoldName {
  readonly partition: number
  /** Unique in the partition: 1 to 128 characters without spaces, such as `rebuild:products`. */
  readonly name: string
  /** Who it is, for people: a worker, a program, a host. At most 200 characters. */
  readonly owner: string
}

export interface HoldRequest extends HoldName {
  readonly kind: HoldKind
  /**
   * The changes behind this stamp are kept; up to and with it they may go. `end`: where the log ends at this moment;
   * `earliest`: all that is still there.
   */
  readonly after: Stamp | 'end' | 'earliest'
  /** After how long without `moveHold` or `renewHold` it counts for nothing, in ms. Default: it stays until it is released. */
  readonly ttlMs?: number
}

/** A hold as the registry has it. */
export interface Hold extends HoldName {
  readonly kind: HoldKind
  readonly after: Stamp
  /** ms since 1970 by the clock of the Redis server. */
  readonly since: number
  /** In how many ms it counts for nothing any more, not below 0; undefined for one that does not expire. */
  readonly leftMs: number | undefined
}

type Holding = Pick<LogParts, 'connection' | 'keys' | 'namespace' | 'deadlineMs'>

/**
 * Registers that the changes behind a place are needed: from then on none of them is trimmed. Safe to repeat.
 *
 * @returns the place
 * @throws HeadwaterError HISTORY_TRIMMED where retention has removed some of them already, HOLD_TAKEN when the name is
 * somebody else's
 */
export async function takeHold(log: Holding, request: HoldRequest): Promise<Stamp> {
  const { partition, name, kind, after, ttlMs = 0 } = request
  checkName(request)
  const at = typeof after === 'string' ? after : formatCheckpoint(after)
  const [word, ...rest] = await runHold(log, 'take', request, [at, kind, ttlMs])
  if (word === 'taken') return parseCheckpoint(String(rest[0]))
  if (word === 'trimmed') {
    throw new HeadwaterError(
      'HISTORY_TRIMMED',
      `Partition ${partition} has been trimmed up to sequence ${rest[0]}, so what follows ${at} cannot be kept for ${name}.`,
    )
  }
  throw new HeadwaterError(
    'HOLD_TAKEN',
    `${name} in partition ${partition} is held by ${rest[0]} since ${new Date(Number(rest[1])).toISOString()}.`,
  )
}

/**
 * Gives up what lies before this stamp, and renews the hold. It never goes back: an earlier stamp only renews.
 *
 * @returns `gone` when the hold is not ours (any more): what it kept may have been trimmed
 */
export async function moveHold(log: Holding, name: HoldName, after: Stamp): Promise<'moved' | 'gone'> {
  const [word] = await runHold(log, 'move', name, [formatCheckpoint(after)])
  return word === 'moved' ? 'moved' : 'gone'
}

/** Keeps a hold from expiring. `gone` as for `moveHold`. */
export async function renewHold(log: Holding, name: HoldName): Promise<'renewed' | 'gone'> {
  const [word] = await runHold(log, 'renew', name, [])
  return word === 'renewed' ? 'renewed' : 'gone'
}

/** Without effect where the hold is not ours (any more). */
export async function releaseHold(log: Holding, name: HoldName): Promise<void> {
  await runHold(log, 'release', name, [])
}

/** The holds of one partition, expired ones included, by name. */
export async function readHolds(log: Holding, partition: number): Promise<Hold[]> {
  const { connection, keys, deadlineMs } = log
  const options = { doing: 'reading who holds the log', deadlineMs }
  const [fields, [seconds, microseconds]] = await persist(connection, options, (client) =>
    Promise.all([client.hgetall(keys.partitions[partition]!.holds), client.time()]),
  )
  const now = Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000)
  return Object.entries(fields)
    .filter(([name]) => name !== '')
    .map(([name, text]) => parseHold(partition, name, text, now))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

function parseHold(partition: number, name: string, text: string, now: number): Hold {
  const [, after, kind = '', since, ttl, expires, owner = ''] =
    /^(\S+) (\S+) (\d+) (\d+) (\d+) (.*)$/s.exec(text) ?? []
  if (!holdKinds.has(kind)) {
    throw new HeadwaterError(
      'LOG_DAMAGED',
      `The hold ${JSON.stringify(name)} of partition ${partition} reads ${JSON.stringify(text.slice(0, 100))}, which is none.`,
    )
  }
  return {
    partition,
    name,
    owner,
    kind: kind as HoldKind,
    after: parseCheckpoint(after),
    since: Number(since),
    leftMs: ttl === '0' ? undefined : Math.max(0, Math.min(Number(ttl), Number(expires) - now)),
  }
}

async function runHold(
  { connection, keys, namespace, deadlineMs }: Holding,
  action: 'take' | 'move' | 'renew' | 'release',
  { partition, name, owner }: HoldName,
  args: readonly (string | number)[],
): Promise<[string, ...(string | number)[]]> {
  const of = keys.partitions[partition]!
  const input = { keys: [of.header, of.holds], args: [action, name, owner, ...args] }
  const options = { doing: `a hold of partition ${partition}`, deadlineMs }
  const reply = await persist(connection, options, (client) => holdScript.run(client, input))
  const [word, ...rest] = reply as [string, ...(string | number)[]]
  if (word === 'missing') throw missingHeader(namespace, partition)
  return [word, ...rest]
}

function checkName({ name, owner, ttlMs }: HoldRequest): void {
  if (!/^\S{1,128}$/.test(name)) {
    invalid(`The hold's name ${quoted(name)} must be 1 to 128 characters without spaces.`)
  }
  if (!/^.{1,200}$/.test(owner)) {
    invalid(`The hold's owner ${quoted(owner)} must be 1 to 200 characters of one line.`)
  }
  if (ttlMs !== undefined && !(Number.isInteger(ttlMs) && ttlMs >= 1_000)) {
    invalid(`ttlMs ${String(ttlMs)} of a hold must be an integer from 1,000.`)
  }
}

function invalid(what: string): never {
  throw new HeadwaterError('OPTION_INVALID', what)
}
