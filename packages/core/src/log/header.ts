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
  /** By epoch: up to which sequence it inherited the epochs before it, and what tells it apart from a namesake. */
  readonly epochs: ReadonlyMap<number, { readonly inherited: number; readonly branch: string }>
}

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
    const [inherited, branch = ''] = value.split(' ')
    epochs.set(Number(field.slice('epoch:'.length)), { inherited: Number(inherited), branch })
  }
  const header = { epoch: Number(fields['epoch']), sequence: Number(fields['sequence']), epochs }
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
