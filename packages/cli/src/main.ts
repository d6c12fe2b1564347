#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import type { CaptureOptions } from './commands/capture.ts'
import type { DevFlags } from './commands/dev.ts'
import type { DoctorFlags } from './commands/doctor.ts'
import type { RunFlags } from './commands/run.ts'
import { withoutSecrets } from './error-report.ts'
import { integerFrom } from './integer-from.ts'
import type { GlobalOptions, Invocation } from './invocation.ts'
import { Output } from './output.ts'
import { addCopyCommands } from './program/copy.ts'
import { addParkedCommands } from './program/parked.ts'
import { addProofCommands } from './program/proof.ts'
import { addPurgeCommands } from './program/purge.ts'
import { addRecordCommands } from './program/records.ts'
import { addRetentionCommands } from './program/retention.ts'
import { addSteeringCommands } from './program/steering.ts'
import { addWatchCommands } from './program/watch.ts'
import { repeatedNumbers, repeatedTexts } from './repeated.ts'
import { reportFailure } from './report-failure.ts'

// Arguments to one command, whose code is loaded when it is the one to run.

// Everybody on the machine can list processes with their arguments, and one may be a URL with a password.
process.title = withoutSecrets(['headwater', ...process.argv.slice(2)].join(' '))

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
  reportFailure(output, error)
  process.exit()
})

try {
  await commandLine().parseAsync()
} catch (error) {
  reportFailure(output, error)
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

  addWatchCommands(program, invocation)
  addRecordCommands(program, invocation)
  addProofCommands(program, invocation)
  addCopyCommands(program, invocation)
  addRetentionCommands(program, invocation)
  addPurgeCommands(program, invocation)
  addParkedCommands(program, invocation)
  addSteeringCommands(program, invocation)

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
    .option(
      '--keys <pattern>',
      'commands: only keys such as user:*, with one *; may be repeated',
      repeatedTexts,
    )
    .option('--database <number>', 'commands: only this one; may be repeated (default: all)', repeatedNumbers)
    .option(
      '--type <type>',
      'commands: only values of this type; may be repeated (default: all)',
      repeatedTexts,
    )
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

/** Known before the arguments are read: that they cannot be read is told as JSON too. */
function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return args.slice(0, end < 0 ? undefined : end).includes('--json')
}

function version(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}
