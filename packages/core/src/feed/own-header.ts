import { HeadwaterError } from '../errors/headwater-error.ts'
import { parseHeader, survivedUpTo, type Header } from '../log/header.ts'
import type { RangeOptions } from '../log/range.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { persist } from '../redis/persist.ts'
import type { Stamp } from '../change/stamp.ts'

export interface OwnHeaderOptions extends RangeOptions {
  readonly namespace: string
  readonly lineage: string
}

/**
 * The header of a partition of this very log.
 *
 * @throws HeadwaterError LOG_DAMAGED when it is gone, MUST_REFETCH when it is that of another log
 */
export async function readOwnHeader(options: OwnHeaderOptions): Promise<Header> {
  const { connection, keys, partition, namespace, lineage, deadlineMs, signal } = options
  const retrying = { doing: `looking at partition ${partition}`, deadlineMs, ...(signal && { signal }) }
  const fields = await persist(connection, retrying, (client) => client.hgetall(keys.header))
  const header = parseHeader(fields)
  if (!header) throw missingHeader(namespace, partition)
  if (fields['lineage'] === lineage) return header
  throw new HeadwaterError(
    'MUST_REFETCH',
    `Namespace ${JSON.stringify(namespace)} was deleted and made again: this is another log than the feed began on.`,
  )
}

/** Whether what was given up to this stamp, when the partition had the header `known`, is of another history than `header`. */
export function isOtherHistory(given: Stamp, known: Header, header: Header): boolean {
  return survivedUpTo(header, given) < given.sequence || !isSameBranch(given, known, header)
}

/** An epoch may be opened twice, when the first time was lost with its server. */
export function isSameBranch({ epoch }: Stamp, known: Header, header: Header): boolean {
  return known.epochs.get(epoch)?.branch === header.epochs.get(epoch)?.branch
}
