#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import type { AppendChangeOptions } from './append-change.ts'
import type { CaptureOptions } from './commands/capture.ts'
import type { DevFlags } from './commands/dev.ts'
import type { DoctorFlags } from './commands/doctor.ts'
import type { DiffFlags } from './commands/diff.ts'
import type { ExportFlags } from './commands/export.ts'
import type { HistoryFlags } from './commands/history.ts'
import type { RetireFlags } from './commands/group.ts'
import type { ImportOptions } from './commands/import.ts'
import type { LagFlags } from './commands/lag.ts'
import type { RebuildFlags } from './commands/rebuild.ts'
import type { LostAction, LostFlags } from './commands/lost.ts'
import type { RepairFlags } from './commands/repair.ts'
import type { ReplayFlags } from './commands/replay.ts'
import type { RetentionFlags } from './commands/retention.ts'
import type { RewindFlags } from './commands/rewind.ts'
import type { ScrubFlags } from './commands/scrub.ts'
import type { RunFlags } from './commands/run.ts'
import type { StatusFlags } from './commands/status.ts'
import type { TailOptions } from './commands/tail.ts'
import type { TrimFlags } from './commands/trim.ts'
import type { VerifyFlags } from './commands/verify.ts'
import { errorReport } from './error-report.ts'
import { integerFrom } from './integer-from.ts'
import type { GlobalOptions, Invocation } from './invocation.ts'
import { Output } from './output.ts'
import { addParkedCommands } from './parked-program.ts'
import { addPurgeCommands } from './purge-program.ts'
import { recordFormats } from './record-format.ts'
import { byteLimit, durationMs } from './quantities.ts'
import { addSteeringCommands } from './steering-program.ts'

// Arguments to one command, whose code is loaded when it is the one to run.

const output = new Output(asksForJson(process.argv.slice(2)), process.stdout, process.stderr)
// Whoever reads our stdout may leave when he has seen enough; a worker goes on when nobody reads its log any more.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') {
    output.note(`headwater: stdout cannot be written: ${error.message}. [FILE_UNWRITABLE]`)
    process.exitCode = 1
  }
  process.exit()
})
process.stderr.on('error', () => {})
process.on('uncaughtException', (error) => {
  fail(error)
  process.exit()
})

try {
  await commandLine().parseAsync()
} catch (error) {
  fail(error)
}
// A config may have opened clients that nobody closes.
process.stdout.write('', () => process.exit())

function commandLine(): Command {
  const program = new Command('headwater')
    .description('Keeps copies of data in step: runs workers, looks into a log, appends and imports.')
    .version(version(), '--version', 'the version of this program')
    .helpCommand(false)
    .option('--redis <url>', 'redis://, rediss:// or unix:// (default: REDIS_URL)')
    .option('--namespace <name>', 'which log on that server (default: HEADWATER_NAMESPACE)')
    .option('--config <file>', 'definitions and defaults (default: headwater.config.ts of this folder)')
    .option('--no-config', 'leave a config file aside')
    .option('--json', 'the result as JSON on the last line of stdout')
    .addHelpText(
      'after',
      '\nEnds with 0 when all went well, 1 when something failed, 2 for arguments it cannot read.',
    )
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => {} })
    .exitOverride()
  const invocation = (): Invocation => ({ options: program.opts<GlobalOptions>(), output })

  program
    .command('init')
    .description('write a small project that runs')
    .argument('[folder]', 'an empty one, or one to be made', '.')
    .action(async (folder: string) => {
      const { init } = await import('./commands/init.ts')
      await init(invocation(), folder, version())
    })

  program
    .command('dev')
    .description('start a Redis, run the groups of the config on it, and show the log as it moves')
    .option('--port <number>', 'of that Redis on 127.0.0.1 (default: a free one)', integerFrom(1))
    .action(async (options: DevFlags) => {
      const { dev } = await import('./commands/dev.ts')
      await dev(invocation(), options)
    })

  program
    .command('run')
    .description('run a worker for the groups of a config file, until SIGINT or SIGTERM')
    .argument('[config]', 'the config file')
    .option(
      '--http <address>',
      'answer /healthz, /readyz and /metrics: a port of this machine, or host:port; HEADWATER_HTTP_TOKEN guards it',
    )
    .action(async (config: string | undefined, options: RunFlags) => {
      const { run } = await import('./commands/run.ts')
      await run(invocation(), config, options)
    })

  program
    .command('upkeep')
    .description('run the upkeep of a config file on schedule, until SIGINT or SIGTERM')
    .argument('[config]', 'the config file')
    .action(async (config: string | undefined) => {
      const { upkeep } = await import('./commands/upkeep.ts')
      await upkeep(invocation(), config)
    })

  program
    .command('status')
    .description('how far every group is: owner, lag, pending, parked and damage of each partition')
    .addOption(watchOption())
    .action(async (options: StatusFlags) => {
      const { status } = await import('./commands/status.ts')
      await status(invocation(), options)
    })

  program
    .command('lag')
    .description('how far groups are behind, in changes and in time')
    .argument('[groups...]', 'default: all that are registered')
    .option('--max <number>', 'end with 1 where a group is further behind', integerFrom(0))
    .addOption(watchOption())
    .action(async (groups: string[], options: LagFlags) => {
      const { lag } = await import('./commands/lag.ts')
      await lag(invocation(), groups, options)
    })

  program
    .command('tail')
    .description('changes as they come')
    .option('--partition <number>', 'only this one; may be repeated (default: all)', partitions)
    .option(
      '--from <where>',
      'beginning, now, or a position; positions may be repeated (default: now)',
      texts,
    )
    .option('--limit <number>', 'end after so many changes', integerFrom(1))
    .option('--no-follow', 'end at the present end of the log')
    .action(async (options: TailOptions) => {
      const { tail } = await import('./commands/tail.ts')
      await tail(invocation(), options)
    })

  program
    .command('get')
    .description('the latest value of a key, with its version and position')
    .argument('<collection>')
    .argument('<key>')
    .action(async (collection: string, key: string) => {
      const { get } = await import('./commands/get.ts')
      await get(invocation(), collection, key)
    })

  program
    .command('history')
    .description('every change of a key that the log still has')
    .argument('<collection>')
    .argument('<key>')
    .option('--limit <number>', 'end after so many changes', integerFrom(1))
    .option('--at <moment>', 'show its value as of a version, position or time instead')
    .action(async (collection: string, key: string, options: HistoryFlags) => {
      const { history } = await import('./commands/history.ts')
      await history(invocation(), collection, key, options)
    })

  program
    .command('append')
    .description('put a value')
    .argument('<collection>')
    .argument('<json>', 'the value; - reads it from stdin')
    .addOption(expectedOption())
    .addOption(idempotencyOption('the same key gives the first result'))
    .addOption(metadataOption())
    .addOption(keyOption())
    .addOption(schemaVersionOption())
    .addOption(createOption())
    .action(async (collection: string, json: string, options: AppendChangeOptions) => {
      const { append } = await import('./commands/append.ts')
      await append(invocation(), collection, json, options)
    })

  program
    .command('delete')
    .description('delete a key')
    .argument('<collection>')
    .argument('<key>')
    .addOption(expectedOption())
    .addOption(idempotencyOption('the same key gives the first result'))
    .addOption(metadataOption())
    .addOption(schemaVersionOption())
    .action(async (collection: string, key: string, options: AppendChangeOptions) => {
      const { deleteKey } = await import('./commands/delete.ts')
      await deleteKey(invocation(), collection, key, options)
    })

  program
    .command('import')
    .description('put every record of a file')
    .argument('<collection>')
    .argument('<file>', 'NDJSON, a JSON value a line, or CSV with a line of names; - reads stdin')
    .addOption(formatOption())
    .addOption(
      new Option('--on-error <what>', 'at a bad record').choices(['stop', 'continue']).default('stop'),
    )
    .addOption(idempotencyOption('it goes with the line number of each record'))
    .addOption(metadataOption())
    .addOption(keyOption())
    .addOption(schemaVersionOption())
    .addOption(createOption())
    .action(async (collection: string, file: string, options: ImportOptions) => {
      const { importRecords } = await import('./commands/import.ts')
      await importRecords(invocation(), collection, file, options)
    })

  program
    .command('export')
    .description('write every value of a collection, as of one position in each partition')
    .argument('<collection>')
    .argument('[file]', 'where to; - is stdout', '-')
    .addOption(formatOption())
    .action(async (collection: string, file: string, options: ExportFlags) => {
      const { exportRecords } = await import('./commands/export.ts')
      await exportRecords(invocation(), collection, file, options)
    })

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
      const { verify } = await import('./commands/verify.ts')
      await orCouldNotTell(verify(invocation(), groups, options))
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
        const { lost } = await import('./commands/lost.ts')
        await lost(invocation(), action, groups, options)
      })
    if (action !== 'list') command.option('--dry-run', 'only say what would be done')
  }

  program
    .command('scrub')
    .description('read all stored values of sinks, slowly: 0 as the log says, 1 edited, 2 could not tell')
    .argument('[groups...]', 'of the config file (default: all)')
    .option('--rate <number>', 'at most so many keys a second (default: 1000)', integerFrom(1))
    .action(async (groups: string[], options: ScrubFlags) => {
      const { scrub } = await import('./commands/scrub.ts')
      await orCouldNotTell(scrub(invocation(), groups, options))
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
      const { diff } = await import('./commands/diff.ts')
      await orCouldNotTell(diff(invocation(), group, options))
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
      const { repair } = await import('./commands/repair.ts')
      await repair(invocation(), group, options)
    })

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
      const { rebuild } = await import('./commands/rebuild.ts')
      await rebuild(invocation(), group, options)
    })

  program
    .command('rewind')
    .description('set a group back, so that its sink is given changes again')
    .argument('<group>')
    .requiredOption('--to <where>', 'beginning, a position, or a time such as 2026-11-23T09:00:00Z')
    .option('--dry-run', 'only say what would be done')
    .action(async (group: string, options: RewindFlags) => {
      const { rewind } = await import('./commands/rewind.ts')
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
      const { replay } = await import('./commands/replay.ts')
      await replay(invocation(), group, key, options)
    })

  const group = program.command('group').description('the groups that are registered at a log')
  group
    .command('list')
    .description('every group, how far it is and what the log keeps for it')
    .action(async () => {
      const { listGroups } = await import('./commands/group.ts')
      await listGroups(invocation())
    })
  group
    .command('show')
    .description('one group, partition by partition')
    .argument('<group>')
    .action(async (name: string) => {
      const { showGroup } = await import('./commands/group.ts')
      await showGroup(invocation(), name)
    })
  group
    .command('retire')
    .description('forget a group: its progress, its leases and what is parked for it')
    .argument('<group>')
    .option('--force', 'also while it has live workers')
    .action(async (name: string, options: RetireFlags) => {
      const { retire } = await import('./commands/group.ts')
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
      const { retention } = await import('./commands/retention.ts')
      await retention(invocation(), options)
    })

  program
    .command('trim')
    .description('remove what is older than the retention time and nobody needs any more')
    .option('--dry-run', 'only say what would be removed')
    .action(async (options: TrimFlags) => {
      const { trim } = await import('./commands/trim.ts')
      await trim(invocation(), options)
    })

  const archive = program.command('archive').description('changes in files, before they leave the log')
  archive
    .command('run')
    .description('write what the archive does not have yet; from then on nothing else is trimmed')
    .argument('[directory]', 'default: `archive` of the config file')
    .action(async (directory: string | undefined) => {
      const { runArchive } = await import('./commands/archive.ts')
      await runArchive(invocation(), directory)
    })
  archive
    .command('verify')
    .description('read all of it, checksums included')
    .argument('[directory]', 'default: `archive` of the config file')
    .action(async (directory: string | undefined) => {
      const { checkArchive } = await import('./commands/archive.ts')
      await checkArchive(invocation(), directory)
    })
  archive
    .command('stop')
    .description('hold nothing back for an archive any more')
    .action(async () => {
      const { stopArchive } = await import('./commands/archive.ts')
      await stopArchive(invocation())
    })
  addPurgeCommands(program, invocation)
  addParkedCommands(program, invocation)
  addSteeringCommands(program, invocation)

  program
    .command('sync')
    .description(
      'bring the nodes of a set together: 0 acknowledged, 1 some keys are open, 2 too few nodes answered',
    )
    .argument('<set>', 'of nodeSets in the config file; its weights and quorums are in the log')
    .action(async (set: string) => {
      const { sync } = await import('./commands/sync.ts')
      await orCouldNotTell(sync(invocation(), set))
    })

  program
    .command('doctor')
    .description(
      'look at everything a log depends on: servers, permissions, groups, sinks; 1 where there is a problem',
    )
    .option('--user <name>', 'the ACL user whose permissions to look at (default: the one of the URL)')
    .addOption(
      new Option('--role <role...>', 'what that user is for (default: everything)').choices([
        'application',
        'producer',
        'viewer',
        'worker',
        'operator',
      ]),
    )
    .action(async (options: DoctorFlags) => {
      const { doctor } = await import('./commands/doctor.ts')
      await doctor(invocation(), options)
    })

  program
    .command('capture')
    .description('copy a Redis into another or into the log, without touching it, and follow it')
    .option('--from <url>', 'the Redis to follow: redis://, rediss:// or unix://')
    .option('--to <url>', 'with --mode commands: the Redis that becomes its replica')
    .addOption(
      new Option(
        '--mode <mode>',
        'commands: every transaction, as it was, into --to; state: values, into the log as the config says',
      )
        .choices(['commands', 'state'])
        .makeOptionMandatory(),
    )
    .option('--once', 'end when it has what the source has now; keys of a target then expire by themselves')
    .option('--keys <pattern>', 'commands: only keys such as user:*, with one *; may be repeated', texts)
    .option('--database <number>', 'commands: only this one; may be repeated (default: all)', partitions)
    .option('--type <type>', 'commands: only values of this type; may be repeated (default: all)', texts)
    .option('--replace', 'delete what the target holds, if it is not of this capture')
    .option(
      '--name <name>',
      'of this capture, at the target (default: default) or in the log (default: capture)',
    )
    .option('--spool <folder>', 'for what the target does not have yet (default: in the folder for state)')
    .action(async (options: CaptureOptions) => {
      if (options.mode === 'state') {
        const { captureState } = await import('./commands/capture-state.ts')
        return await captureState(invocation(), options)
      }
      const { capture } = await import('./commands/capture.ts')
      await capture(invocation(), options)
    })

  return program
}

/** Whoever asks whether copies are equal must not take a failure for a difference. */
async function orCouldNotTell(comparison: Promise<void>): Promise<void> {
  try {
    await comparison
  } catch (error) {
    fail(error)
    process.exitCode = 2
  }
}

function formatOption(): Option {
  return new Option('--format <format>', 'of the records (default: csv for *.csv, else ndjson)').choices(
    recordFormats,
  )
}

function watchOption(): Option {
  return new Option('--watch [seconds]', 'show it again and again (default: every 2 seconds)').argParser(
    integerFrom(1),
  )
}

function expectedOption(): Option {
  return new Option('--expected <version>', 'refuse otherwise: absent, exists, or a version such as 7')
}

function idempotencyOption(how: string): Option {
  return new Option('--idempotency-key <text>', `makes it safe to repeat: ${how}`)
}

function metadataOption(): Option {
  return new Option(
    '--metadata <name=value>',
    'a text that travels with the change; may be repeated',
  ).argParser((text: string, previous?: Record<string, string>) => {
    const at = text.indexOf('=')
    if (at < 1) throw new InvalidArgumentError('It must be name=value.')
    return { ...previous, [text.slice(0, at)]: text.slice(at + 1) }
  })
}

function keyOption(): Option {
  return new Option('--key <property>', 'without a config: which property is the key (default: id)')
}

function schemaVersionOption(): Option {
  return new Option(
    '--schema-version <number>',
    'without a config: stored with the change (default: 1)',
  ).argParser(integerFrom(1))
}

function createOption(): Option {
  return new Option('--create', 'without a config: create namespace and collection where they do not exist')
}

function partitions(text: string, previous: readonly number[] = []): number[] {
  return [...previous, integerFrom(0)(text)]
}

function texts(text: string, previous: readonly string[] = []): string[] {
  return [...previous, text]
}

/** Known before the arguments are read: that they cannot be read is told as JSON too. */
function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return args.slice(0, end < 0 ? undefined : end).includes('--json')
}

function fail(error: unknown): void {
  const report = errorReport(error)
  process.exitCode = report.exitCode
  // Commander has shown its help already.
  const shown = error instanceof CommanderError && (report.exitCode === 0 || error.code === 'commander.help')
  if (!shown) output.error(report)
}

function version(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}
