import { Option, type Command } from 'commander'
import type { LagFlags } from '../commands/lag.ts'
import type { StatusFlags } from '../commands/status.ts'
import type { TailOptions } from '../commands/tail.ts'
import { integerFrom } from '../integer-from.ts'
import type { Invocation } from '../invocation.ts'
import { repeatedNumbers, repeatedTexts } from '../repeated.ts'

/** What shows how a log and its groups move. */
export function addWatchCommands(program: Command, invocation: () => Invocation): void {
  program
    .command('status')
    .description('how far every group is: owner, lag, pending, parked and damage of each partition')
    .addOption(watchOption())
    .action(async (options: StatusFlags) => {
      const { status } = await import('../commands/status.ts')
      await status(invocation(), options)
    })

  program
    .command('lag')
    .description('how far groups are behind, in changes and in time')
    .argument('[groups...]', 'default: all that are registered')
    .option('--max <number>', 'end with 1 where a group is further behind', integerFrom(0))
    .addOption(watchOption())
    .action(async (groups: string[], options: LagFlags) => {
      const { lag } = await import('../commands/lag.ts')
      await lag(invocation(), groups, options)
    })

  program
    .command('tail')
    .description('changes as they come')
    .option('--partition <number>', 'only this one; may be repeated (default: all)', repeatedNumbers)
    .option(
      '--from <where>',
      'beginning, now, or a position; positions may be repeated (default: now)',
      repeatedTexts,
    )
    .option('--limit <number>', 'end after so many changes', integerFrom(1))
    .option('--no-follow', 'end at the present end of the log')
    .action(async (options: TailOptions) => {
      const { tail } = await import('../commands/tail.ts')
      await tail(invocation(), options)
    })
}

function watchOption(): Option {
  return new Option('--watch [seconds]', 'show it again and again (default: every 2 seconds)').argParser(
    integerFrom(1),
  )
}
