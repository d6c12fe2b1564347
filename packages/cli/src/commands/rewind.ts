import { parsePosition, rewind as rewindGroup } from '@headwater/core'
import { CliError } from '../cli-error.ts'
import type { Invocation } from '../invocation.ts'
import { openLog } from '../open-log.ts'
import { count } from '../output.ts'

export interface RewindFlags {
  /** `beginning`, a position, or a time. */
  readonly to: string
  readonly dryRun?: boolean
}

/** Sets a group back, so that it is given changes again. */
export async function rewind(
  { options, output }: Invocation,
  group: string,
  { to, dryRun = false }: RewindFlags,
): Promise<void> {
  await using log = await openLog(options)
  const rewound = await rewindGroup(log, { group, to: placeOf(to), dryRun })
  const changes = rewound.reduce((sum, partition) => sum + partition.changes, 0)
  await output.result({ group, dryRun, changes, partitions: rewound }, () => {
    const verb = dryRun ? 'would get' : 'gets'
    if (rewound.length === 0) return `${group}: stands there already, or before.`
    const lines = rewound.map(({ from, to: at }) => `  ${from} → ${at}`)
    return [`${group}: ${verb} ${count(changes)} changes again`, ...lines].join('\n')
  })
}

function placeOf(text: string): Parameters<typeof rewindGroup>[1]['to'] {
  if (text === 'beginning') return text
  const time = new Date(text)
  if (/^\d{4}-\d\d-\d\d/.test(text) && !Number.isNaN(time.getTime())) return time
  try {
    parsePosition(text)
    return text as Parameters<typeof rewindGroup>[1]['to']
  } catch {
    throw new CliError(
      'USAGE',
      `--to ${JSON.stringify(text)} must be beginning, a position such as 3:1-1842, or a time such as 2026-11-23T09:00:00Z.`,
    )
  }
}
