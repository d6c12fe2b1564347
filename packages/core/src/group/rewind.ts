import { formatPosition, parsePosition, type Position } from '../change/position.ts'
import { stampZero, type Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { readHeader, stampOf, survivedUpTo } from '../log/header.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { persist } from '../redis/persist.ts'
import { script } from '../redis/script.ts'
import { formatCheckpoint, parseCheckpoint } from './checkpoint.ts'
import { checkGroupName } from './group-name.ts'
import { source as rewindLua } from './rewind.lua.ts'

const rewindScript = script('rewind', rewindLua)

export interface RewindOptions {
  readonly group: string
  /**
   * After which place the group is given the changes again: a position rewinds its own partition, a time (ms since 1970 by the
   * clock of the Redis server, or a Date) and `beginning` all of them.
   */
  readonly to: Position | Date | number | 'beginning'
  /** Only says what would be done. Default false. */
  readonly dryRun?: boolean
}

/** How a partition was set back. One that stood there, or before, is left as it is and not listed. */
export interface RewoundPartition {
  readonly partition: number
  readonly from: Position
  readonly to: Position
  /** Changes that the group gets again. */
  readonly changes: number
}

/**
 * Sets a group back, so that its sink is given changes again. A sink of states takes of them what is newer than what it holds:
 * what it lost, and nothing that would take it back. A sink of events gets each of them once more.
 *
 * Its workers are fenced and go on from there. All partitions are looked at first, so that none is set back where one cannot be.
 *
 * @throws HeadwaterError GROUP_UNKNOWN, POSITION_INVALID, HISTORY_TRIMMED below what retention has removed; OPTION_INVALID for
 * a position that the group has not reached, and while its first copy is under way
 */
export async function rewind(log: Log, options: RewindOptions): Promise<readonly RewoundPartition[]> {
  const { group, to, dryRun = false } = options
  checkGroupName(group)
  const parts = logParts(log)
  const places = await placesOf(log, parts, to)
  const rewound: RewoundPartition[] = []
  for (const look of dryRun ? [true] : [true, false]) {
    rewound.length = 0
    for (const [partition, stamp] of places) {
      const from = await rewindPartition(parts, group, partition, stamp, look)
      if (from) {
        const changes = from.sequence - stamp.sequence
        rewound.push({
          partition,
          from: formatPosition(partition, from),
          to: formatPosition(partition, stamp),
          changes,
        })
      } else if (places.size === 1) {
        throw new HeadwaterError(
          'OPTION_INVALID',
          `Group ${group} has not passed ${formatPosition(partition, stamp)} yet: it can only be set back.`,
        )
      }
    }
  }
  return rewound
}

async function placesOf(log: Log, parts: LogParts, to: RewindOptions['to']): Promise<Map<number, Stamp>> {
  const places = new Map<number, Stamp>()
  if (typeof to === 'string' && to !== 'beginning') {
    const { partition, epoch, sequence } = parsePosition(to)
    const keys = parts.keys.partitions[partition]
    const header = keys && (await readHeader(parts.connection, keys, parts.deadlineMs))
    if (!header || sequence > survivedUpTo(header, { epoch, sequence })) {
      throw new HeadwaterError(
        'POSITION_INVALID',
        `The log does not have ${to}: it has no such partition, or lost that history.`,
      )
    }
    return places.set(partition, stampOf(header, sequence))
  }
  const time = typeof to === 'string' ? undefined : to
  for (let partition = 0; partition < log.partitions; partition++) {
    const position = time === undefined ? 'beginning' : await log.positionAt(partition, time)
    places.set(partition, position === 'beginning' ? stampZero : parsePosition(position))
  }
  return places
}

/** From where it was set back; undefined where it stands there or before. */
async function rewindPartition(
  { connection, keys, deadlineMs, namespace }: LogParts,
  group: string,
  partition: number,
  { epoch, sequence }: Stamp,
  look: boolean,
): Promise<Stamp | undefined> {
  const of = keys.partitions[partition]!
  const input = {
    keys: [of.header, of.group(group), of.log],
    args: [formatCheckpoint({ epoch, sequence }), sequence, look ? 'look' : ''],
  }
  const options = { doing: `rewinding the group ${group}`, deadlineMs }
  const reply = await persist(connection, options, (client) => rewindScript.run(client, input))
  const [word, detail] = reply as [string, string]
  switch (word) {
    case 'rewound':
      return parseCheckpoint(detail)
    case 'behind':
      return undefined
    case 'trimmed':
      throw new HeadwaterError(
        'HISTORY_TRIMMED',
        `Partition ${partition} has been trimmed up to sequence ${detail}, so group ${group} cannot be set back to ${sequence}. Rebuild its target from the state instead.`,
      )
    case 'copying':
      throw new HeadwaterError(
        'OPTION_INVALID',
        `Group ${group} still gets its first copy in partition ${partition}: there is nothing to set back yet.`,
      )
    case 'unknown':
      throw new HeadwaterError(
        'GROUP_UNKNOWN',
        `No group ${JSON.stringify(group)} is registered at namespace ${JSON.stringify(namespace)}.`,
      )
    default:
      throw missingHeader(namespace, partition)
  }
}
