import type { Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { formatCheckpoint, parseCheckpoint } from '../group/checkpoint.ts'
import { source as epochLua } from '../namespace/epoch.lua.ts'
import { source as epochsLua } from '../namespace/epochs.lua.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { persist } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import { source as archiverLua } from './archiver.lua.ts'

const archiverScript = script('archiver', epochLua, epochsLua, archiverLua)

/** Longer than reading, packing and writing a segment takes; after that somebody else may go on. */
const rightMs = 120_000

/** The right to archive one partition, until somebody else has taken it over. */
export interface ArchiverRight {
  readonly partition: number
  readonly owner: string
  readonly token: number
  /** Up to where the archive is said to have everything. */
  readonly archived: Stamp
  /** Behind which sequence archiving began: what the log had lost by then is in no archive. */
  readonly from: number
}

/** @throws HeadwaterError HOLD_TAKEN while another archiver is at work */
export async function acquireRight(
  log: LogParts,
  partition: number,
  owner: string,
  aboveToken: number,
): Promise<ArchiverRight> {
  const [word, ...rest] = await run(log, 'acquire', { partition, owner }, [aboveToken])
  if (word === 'granted') {
    const [token, archived, from] = rest
    return {
      partition,
      owner,
      token: Number(token),
      archived: parseCheckpoint(String(archived)),
      from: Number(from),
    }
  }
  throw new HeadwaterError(
    'HOLD_TAKEN',
    `Partition ${partition} is being archived by ${rest[0]}; one that died is followed after ${rightMs / 1_000} s.`,
  )
}

/**
 * Says that the archive has everything up to this stamp: from then on it may be trimmed.
 *
 * @throws HeadwaterError HOLD_TAKEN when another archiver has taken over
 */
export async function advance(log: LogParts, right: ArchiverRight, upTo: Stamp): Promise<void> {
  const [word] = await run(log, 'advance', right, [right.token, formatCheckpoint(upTo)])
  if (word === 'advanced') return
  throw new HeadwaterError(
    'HOLD_TAKEN',
    `Another archiver has taken partition ${right.partition} over from ${right.owner}, and goes on.`,
  )
}

export async function releaseRight(log: LogParts, right: ArchiverRight): Promise<void> {
  await run(log, 'release', right, [right.token])
}

/** What is not archived is held back no more. */
export async function endArchiving(log: LogParts, partition: number): Promise<void> {
  await run(log, 'end', { partition, owner: '-' })
}

async function run(
  { connection, keys, namespace, deadlineMs }: LogParts,
  action: 'acquire' | 'advance' | 'release' | 'end',
  { partition, owner }: Pick<ArchiverRight, 'partition' | 'owner'>,
  args: readonly (string | number)[] = [],
): Promise<[string, ...(string | number)[]]> {
  const of = keys.partitions[partition]!
  const input = { keys: [of.header, of.holds], args: [action, owner, rightMs, ...args] }
  const options = { doing: `archiving partition ${partition}`, deadlineMs }
  const reply = await persist(connection, options, (client) => archiverScript.run(client, input))
  const [word, ...rest] = reply as [string, ...(string | number)[]]
  if (word === 'missing') throw missingHeader(namespace, partition)
  return [word, ...rest]
}
