import { Argument, Option, type Command } from 'commander'
import type { DropFlags, EditFlags, ListFlags, RedriveFlags, RetryFlags } from '../commands/parked.ts'
import { integerFrom } from '../integer-from.ts'
import type { Invocation } from '../invocation.ts'
import { durationMs } from '../quantities.ts'

const load = () => import('../commands/parked.ts')

/** `headwater parked …`: what groups have set aside. */
export function addParkedCommands(program: Command, invocation: () => Invocation): void {
  const parked = program
    .command('parked')
    .description('what a group has set aside, and getting it going again')

  filtered(parked.command('list').description('every parked key of a group, with the reason and since when'))
    .option('--limit <number>', 'list so many (default: 100)', integerFrom(1))
    .action(async (group: string, options: ListFlags) =>
      (await load()).listParked(invocation(), group, options),
    )

  one(parked.command('show').description('all that is parked of a key, value by value')).action(
    async (group: string, collection?: string, key?: string, options?: { entry?: string }) =>
      (await load()).showParked(invocation(), group, { collection, key, ...options }),
  )

  one(parked.command('retry').description('feed one key back to the sink: 0 taken, 1 still rejected'))
    .option('--wait <seconds>', 'for a worker to come to it (default: 30)', integerFrom(0))
    .action(async (group: string, collection: string, key: string, options: RetryFlags) =>
      (await load()).retryParked(invocation(), group, { collection, key }, options),
    )

  parked
    .command('edit')
    .description('append a corrected value on the version that the key has, and feed the key back')
    .argument('<group>')
    .argument('<collection>')
    .argument('<json>', 'the whole value; - reads it from stdin')
    .option('--expected <version>', 'refuse otherwise (default: the version that is parked last)')
    .option('--key <property>', 'without a config: which property is the key (default: id)')
    .option('--wait <seconds>', 'for a worker to come to it (default: 30)', integerFrom(0))
    .action(async (group: string, collection: string, json: string, options: EditFlags) =>
      (await load()).editParked(invocation(), group, collection, json, options),
    )

  one(parked.command('skip').description('give up the first parked change of a key; the others stay parked'))
    .option('--position <position>', 'only if it is this one')
    .action(async (group: string, collection: string, key: string, options: { position?: string }) =>
      (await load()).skipParked(invocation(), group, { collection, key }, options),
    )

  filtered(parked.command('drop').description('give up all that is parked of what matches'))
    .option('--all', 'everything that the group has parked')
    .option('--dry-run', 'only say what would be given up')
    .action(async (group: string, options: DropFlags) =>
      (await load()).dropParked(invocation(), group, options),
    )

  filtered(parked.command('redrive').description('feed back what matches: 0 all taken, 1 some still parked'))
    .option('--rate <number>', 'at most so many changes a second (default: 1000)', integerFrom(1))
    .option('--dry-run', 'only say what would be fed back')
    .option('--wait <seconds>', 'for workers to come to it (default: 30)', integerFrom(0))
    .action(async (group: string, options: RedriveFlags) =>
      (await load()).redriveParked(invocation(), group, options),
    )
}

function one(command: Command): Command {
  const withKey = command.argument('<group>')
  if (command.name() !== 'show') return withKey.argument('<collection>').argument('<key>')
  return withKey
    .addArgument(new Argument('[collection]'))
    .addArgument(new Argument('[key]'))
    .option('--entry <position>', 'an entry that could not be decoded, instead of a key')
}

function filtered(command: Command): Command {
  return command
    .argument('<group>')
    .option('--collection <name>')
    .option('--key <key>')
    .option('--entry <position>', 'an entry that could not be decoded')
    .option('--partition <number>', 'only of this one', integerFrom(0))
    .addOption(new Option('--reason <code>', 'such as SINK_REJECTED'))
    .option('--older-than <time>', 'parked at least so long ago: 90s, 30m, 12h, 7d', durationMs)
}
