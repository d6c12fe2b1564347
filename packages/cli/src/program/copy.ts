import { Option, type Command } from 'commander'
import type { RebuildFlags } from '../commands/rebuild.ts'
import type { ReplayFlags } from '../commands/replay.ts'
import type { RewindFlags } from '../commands/rewind.ts'
import { integerFrom } from '../integer-from.ts'
import type { Invocation } from '../invocation.ts'
import { durationMs } from '../quantities.ts'

/** What gives a sink again what it had, or should have had. */
export function addCopyCommands(program: Command, invocation: () => Invocation): void {
  program
    .command('rebuild')
    .description(
      'build the next version of a target beside the present one, and switch when it has caught up',
    )
    .argument('<group>')
    .addOption(
      new Option('--from <what>', 'what it is made from (default: state)').choices(['state', 'beginning']),
    )
    .option('--rate <number>', 'copy at most so many keys a second', integerFrom(1))
    .option('--no-switch', 'only build it')
    .option('--give-up <time>', 'when it has come no closer to the end of the log for so long', durationMs)
    .option('--cancel', 'give up what was being built')
    .option('--list', 'show which versions there are')
    .option('--drop <version>', 'remove a version that readers do not see', integerFrom(1))
    .action(async (group: string, options: RebuildFlags) => {
      const { rebuild } = await import('../commands/rebuild.ts')
      await rebuild(invocation(), group, options)
    })

  program
    .command('rewind')
    .description('set a group back, so that its sink is given changes again')
    .argument('<group>')
    .requiredOption('--to <where>', 'beginning, a position, or a time such as 2026-11-23T09:00:00Z')
    .option('--dry-run', 'only say what would be done')
    .action(async (group: string, options: RewindFlags) => {
      const { rewind } = await import('../commands/rewind.ts')
      await rewind(invocation(), group, options)
    })

  program
    .command('replay')
    .description('give one key to a sink again')
    .argument('<group>')
    .argument('<key>')
    .addOption(
      new Option('--from <what>', 'its latest value, or each of its changes').choices(['state', 'history']),
    )
    .option('--force', 'write the latest value in place of whatever the sink holds')
    .action(async (group: string, key: string, options: ReplayFlags) => {
      const { replay } = await import('../commands/replay.ts')
      await replay(invocation(), group, key, options)
    })
}
