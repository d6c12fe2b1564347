import { InvalidArgumentError, type Command } from 'commander'
import type { DrainFlags, PartitionFlag, SettingFlags } from '../commands/steering.ts'
import { integerFrom } from '../integer-from.ts'
import type { Invocation } from '../invocation.ts'

const load = () => import('../commands/steering.ts')

/** What steers workers while they run. */
export function addSteeringCommands(program: Command, invocation: () => Invocation): void {
  program
    .command('pause')
    .description('give nothing more to the sink of a group, until it is resumed')
    .argument('<group>')
    .option('--partition <number>', 'only of this one (default: all)', integerFrom(0))
    .action(async (group: string, options: PartitionFlag) =>
      (await load()).pauseGroup(invocation(), group, options),
    )

  program
    .command('resume')
    .description('let a paused group, or one partition of it, go on')
    .argument('<group>')
    .option('--partition <number>', 'only this one (default: all)', integerFrom(0))
    .action(async (group: string, options: PartitionFlag) =>
      (await load()).resumeGroup(invocation(), group, options),
    )

  program
    .command('set')
    .description('change how fast a group works, until it is changed again')
    .argument('<group>')
    .option(
      '--concurrency <number>',
      'calls of one partition at once at the sink, or default',
      numberOrDefault,
    )
    .option('--rate <number>', 'at most so many changes a second, or default', numberOrDefault)
    .action(async (group: string, options: SettingFlags) =>
      (await load()).setGroup(invocation(), group, options),
    )

  program
    .command('drain')
    .description('let a worker hand over all it holds and stay idle')
    .argument('<worker>', 'its name, as status shows it')
    .option('--undo', 'let it take its share again')
    .option('--wait <seconds>', 'until it holds nothing (default: 30)', integerFrom(0))
    .action(async (worker: string, options: DrainFlags) =>
      (await load()).drainWorker(invocation(), worker, options),
    )
}

function numberOrDefault(text: string): number | 'default' {
  if (text === 'default') return text
  if (/^\d{1,7}$/.test(text) && Number(text) > 0) return Number(text)
  throw new InvalidArgumentError('It must be a whole number from 1, or default.')
}
