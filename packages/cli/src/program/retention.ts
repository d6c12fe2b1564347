import type { Command } from 'commander'
import type { RetireFlags } from '../commands/group.ts'
import type { RetentionFlags } from '../commands/retention.ts'
import type { TrimFlags } from '../commands/trim.ts'
import type { Invocation } from '../invocation.ts'
import { byteLimit, durationMs } from '../quantities.ts'

/** What the log keeps, for whom, and what leaves it. */
export function addRetentionCommands(program: Command, invocation: () => Invocation): void {
  const group = program.command('group').description('the groups that are registered at a log')
  group
    .command('list')
    .description('every group, how far it is and what the log keeps for it')
    .action(async () => {
      const { listGroups } = await import('../commands/group.ts')
      await listGroups(invocation())
    })
  group
    .command('show')
    .description('one group, partition by partition')
    .argument('<group>')
    .action(async (name: string) => {
      const { showGroup } = await import('../commands/group.ts')
      await showGroup(invocation(), name)
    })
  group
    .command('retire')
    .description('forget a group: its progress, its leases and what is parked for it')
    .argument('<group>')
    .option('--force', 'also while it has live workers')
    .action(async (name: string, options: RetireFlags) => {
      const { retire } = await import('../commands/group.ts')
      await retire(invocation(), name, options)
    })

  program
    .command('retention')
    .description('what the log keeps, for whom, and the memory that takes')
    .option('--keep <time>', 'from now on keep changes for so long at least, such as 12h or 7d', durationMs)
    .option(
      '--partition-limit <size>',
      'from now on take no appends where a partition takes so much memory: 512kb, 100mb, none',
      byteLimit,
    )
    .action(async (options: RetentionFlags) => {
      const { retention } = await import('../commands/retention.ts')
      await retention(invocation(), options)
    })

  program
    .command('trim')
    .description('remove what is older than the retention time and nobody needs any more')
    .option('--dry-run', 'only say what would be removed')
    .action(async (options: TrimFlags) => {
      const { trim } = await import('../commands/trim.ts')
      await trim(invocation(), options)
    })

  const archive = program.command('archive').description('changes in files, before they leave the log')
  archive
    .command('run')
    .description('write what the archive does not have yet; from then on nothing else is trimmed')
    .argument('[directory]', 'default: `archive` of the config file')
    .action(async (directory: string | undefined) => {
      const { runArchive } = await import('../commands/archive.ts')
      await runArchive(invocation(), directory)
    })
  archive
    .command('verify')
    .description('read all of it, checksums included')
    .argument('[directory]', 'default: `archive` of the config file')
    .action(async (directory: string | undefined) => {
      const { checkArchive } = await import('../commands/archive.ts')
      await checkArchive(invocation(), directory)
    })
  archive
    .command('stop')
    .description('hold nothing back for an archive any more')
    .action(async () => {
      const { stopArchive } = await import('../commands/archive.ts')
      await stopArchive(invocation())
    })
}
