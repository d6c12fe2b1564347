import type { Command } from 'commander'
import type { PurgeFlags, PurgeProducersFlags, PurgeRecordsFlags } from '../commands/purge.ts'
import type { Invocation } from '../invocation.ts'
import { durationMs } from '../quantities.ts'

const load = () => import('../commands/purge.ts')

/** What keeps small things from piling up. */
export function addPurgeCommands(program: Command, invocation: () => Invocation): void {
  const purge = program.command('purge').description('let go of small things that pile up')
  const dryRun = ['--dry-run', 'only say what would be removed'] as const
  purge
    .command('idempotency-records')
    .description('results of appends that are older than their window')
    .option(
      '--window <time>',
      'of the programs that append, such as 24h (default: of the config file, else 24h)',
      durationMs,
    )
    .option(...dryRun)
    .action(async (options: PurgeRecordsFlags) => (await load()).purgeRecords(invocation(), options))
  purge
    .command('producers')
    .description('connections that stored nothing for long')
    .option('--older-than <time>', 'for so long at least, from 1h (default: 7d)', durationMs)
    .option(...dryRun)
    .action(async (options: PurgeProducersFlags) =>
      (await load()).purgeSilentProducers(invocation(), options),
    )
  purge
    .command('tombstones')
    .description('what is kept of deleted keys, once the delete is trimmed: beside the log, or in sinks')
    .argument('[groups...]', 'of the config file: in their sinks (default: beside the log)')
    .option(...dryRun)
    .action(async (groups: string[], options: PurgeFlags) =>
      (await load()).purgeDeleted(invocation(), groups, options),
    )
}
