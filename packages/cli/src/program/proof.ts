import { Option, type Command } from 'commander'
import type { DiffFlags } from '../commands/diff.ts'
import type { LostAction, LostFlags } from '../commands/lost.ts'
import type { RepairFlags } from '../commands/repair.ts'
import type { ScrubFlags } from '../commands/scrub.ts'
import type { VerifyFlags } from '../commands/verify.ts'
import { integerFrom } from '../integer-from.ts'
import type { Invocation } from '../invocation.ts'
import { reportFailure } from '../report-failure.ts'

/** What compares copies, and puts them right. */
export function addProofCommands(program: Command, invocation: () => Invocation): void {
  program
    .command('verify')
    .description('compare sinks with the log while they work: 0 equal, 1 different, 2 could not tell')
    .argument('[groups...]', 'of the config file (default: all), or a node as <set>/<node>')
    .option('--deep', 'compute hashes from the stored values: finds edits behind the back of the sink')
    .option('--no-digests', 'compare every row, also where sums of hashes agree')
    .option('--against <side>', "compare with this group's sink, or this node, and not with the log")
    .option('--collection <name>', 'of the log, where a node is compared with it and there are several')
    .option('--wait <seconds>', 'for what is late (default: 10)', integerFrom(0))
    .option('--limit <number>', 'list so many differences (default: 100)', integerFrom(0))
    .action(async (groups: string[], options: VerifyFlags) => {
      const { verify } = await import('../commands/verify.ts')
      const call = invocation()
      await orCouldNotTell(call, verify(call, groups, options))
    })

  program
    .command('diff')
    .description('show the keys in which a sink differs from the log, with both values')
    .argument('<group>', 'or a node, as for verify')
    .option('--deep', 'as for verify')
    .option('--against <side>', 'as for verify')
    .option('--collection <name>', 'as for verify')
    .option('--wait <seconds>', 'for what is late (default: 10)', integerFrom(0))
    .option('--limit <number>', 'show so many (default: 100)', integerFrom(0))
    .action(async (group: string, options: DiffFlags) => {
      const { diff } = await import('../commands/diff.ts')
      const call = invocation()
      await orCouldNotTell(call, diff(call, group, options))
    })

  program
    .command('repair')
    .description('put right the keys in which a sink differs from the log, and no others')
    .argument('<group>')
    .option('--deep', 'as for verify')
    .option('--dry-run', 'only say what would be done')
    .addOption(
      new Option('--foreign <what>', 'keys that the log does not know, or that are newer there')
        .choices(['keep', 'remove', 'adopt'])
        .default('keep'),
    )
    .option('--rate <number>', 'at most so many keys a second (default: 1000)', integerFrom(1))
    .option('--report <file>', 'what verify --json wrote, instead of verifying now')
    .action(async (group: string, options: RepairFlags) => {
      const { repair } = await import('../commands/repair.ts')
      await repair(invocation(), group, options)
    })

  program
    .command('scrub')
    .description('read all stored values of sinks, slowly: 0 as the log says, 1 edited, 2 could not tell')
    .argument('[groups...]', 'of the config file (default: all)')
    .option('--rate <number>', 'at most so many keys a second (default: 1000)', integerFrom(1))
    .action(async (groups: string[], options: ScrubFlags) => {
      const { scrub } = await import('../commands/scrub.ts')
      const call = invocation()
      await orCouldNotTell(call, scrub(call, groups, options))
    })

  const lostKeys = program
    .command('lost')
    .description('changes that a failover or restore has lost, and that sinks still hold')
  const decisions: Readonly<Record<LostAction, string>> = {
    list: 'name them; ends with 1 where there are any',
    revert: 'give the sinks what the log holds instead',
    adopt: 'let them enter the log again, and so come to every sink',
  }
  for (const [action, what] of Object.entries(decisions) as [LostAction, string][]) {
    const command = lostKeys
      .command(action)
      .description(what)
      .argument('[groups...]', 'default: all of the config')
      .action(async (groups: string[], options: LostFlags) => {
        const { lost } = await import('../commands/lost.ts')
        await lost(invocation(), action, groups, options)
      })
    if (action !== 'list') command.option('--dry-run', 'only say what would be done')
  }

  program
    .command('sync')
    .description(
      'bring the nodes of a set together: 0 acknowledged, 1 some keys are open, 2 too few nodes answered',
    )
    .argument('<set>', 'of nodeSets in the config file; its weights and quorums are in the log')
    .action(async (set: string) => {
      const { sync } = await import('../commands/sync.ts')
      const call = invocation()
      await orCouldNotTell(call, sync(call, set))
    })
}

/** Whoever asks whether copies are equal must not take a failure for a difference. */
async function orCouldNotTell({ output }: Invocation, comparison: Promise<void>): Promise<void> {
  try {
    await comparison
  } catch (error) {
    reportFailure(output, error)
    process.exitCode = 2
  }
}
