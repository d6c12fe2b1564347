import { HeadwaterError } from '../errors/headwater-error.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import type { Stamp } from '../change/stamp.ts'
import type { Connection } from '../redis/connection.ts'
import { persist } from '../redis/persist.ts'

/** What a partition knows of its own history. */
export interface Header {
  readonly epoch: number
  /** Of the newest change; 0 before the first. */
  readonly sequence: number
  /** Up to which sequence retention has removed the changes; 0 for none. */
  readonly trimmed: number
  /** By epoch: up to which sequence it inherited the epochs before it, and its branch. */
  readonly epochs: ReadonlyMap<number, { readonly inherited: number; readonly branch: Branch }>
}

/**
 * Tells an epoch apart from a namesake that another copy of the log opened: the server on which it began, 12 digits, then
 * the sequence that it inherited, all as [0-9a-f]. Empty where the server does not tell who it is.
 */
export type Branch = string

const serverDigits = 12

/** Undefined when the partition has lost its header. */
export async function readHeader(
  connection: Connection,
  keys: PartitionKeys,
  deadlineMs: number,
): Promise<Header | undefined> {
  const options = { doing: 'reading the header of a partition', deadlineMs }
  const fields = await persist(connection, options, (client) => client.hgetall(keys.header))
  return parseHeader(fields)
}

export function parseHeader(fields: Readonly<Record<string, string>>): Header | undefined {
  if (fields['sequence'] === undefined) return undefined
  const epochs = new Map<number, { inherited: number; branch: string }>()
  for (const [field, value] of Object.entries(fields)) {
    if (!field.startsWith('epoch:')) continue
    const [inherited, server = ''] = value.split(' ')
    const branch = server && `${server}${Number(inherited).toString(16)}`
    epochs.set(Number(field.slice('epoch:'.length)), { inherited: Number(inherited), branch })
  }
  const header = {
    epoch: Number(fields['epoch']),
    sequence: Number(fields['sequence']),
    trimmed: Number(fields['trimmed'] ?? 0),
    epochs,
  }
  if (Number.isSafeInteger(header.epoch) && Number.isSafeInteger(header.sequence) && header.epoch >= 1)
    return header
  throw new HeadwaterError(
    'LOG_DAMAGED',
    `A partition's header has epoch ${fields['epoch']} and sequence ${fields['sequence']}, which cannot be.`,
  )
}

/**
 * Up to which sequence the history that `stamp` belongs to survived: the stamp's own sequence or more when it is still in
 * the log's history, less when a later epoch began below it.
 */
export function survivedUpTo({ epochs, sequence }: Header, stamp: Stamp): number {
  let survived = sequence
  for (const [epoch, { inherited }] of epochs) {
    if (epoch > stamp.epoch) survived = Math.min(survived, inherited)
  }
  return survived
}

/**
 * Whether a change of this stamp was written in history that this log has lost. Of an epoch above the log's own nothing
 * can be said: whoever answers may be the one that fell behind.
 */
export function isLost(header: Header, stamp: Stamp): boolean {
  if (stamp.sequence > survivedUpTo(header, stamp)) return true
  return stamp.epoch > 0 && stamp.epoch < header.epoch && !header.epochs.has(stamp.epoch)
}

/**
 * Up to which sequence this log has the history of which a sink says that it ends at `position`. A log that was restored
 * from an older copy may know the sink's epoch by another branch, or not at all; then the histories part where the sink's
 * epoch began, or before.
 */
export function sharedUpTo(header: Header, position: Stamp & { readonly branch: Branch }): number {
  const survived = survivedUpTo(header, position)
  const known = header.epochs.get(position.epoch)
  if (position.branch === '' || known?.branch === position.branch) return survived
  const began = Number.parseInt(position.branch.slice(serverDigits) || '0', 16)
  return Math.min(survived, began, known?.inherited ?? survived)
}

/** The stamp by which this log knows a sequence. */
export function stampOf({ epochs }: Header, sequence: number): Stamp {
  let epoch = 0
  for (const [later, { inherited }] of epochs) if (inherited < sequence) epoch = Math.max(epoch, later)
  return { epoch, sequence }
}
