#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import type { AppendChangeOptions } from './append-change.ts'
import type { CaptureOptions } from './commands/capture.ts'
import type { ImportOptions } from './commands/import.ts'
import type { TailOptions } from './commands/tail.ts'
import { errorReport } from './error-report.ts'
import type { GlobalOptions, Invocation } from './invocation.ts'
import { Output } from './output.ts'

// Arguments to one command, whose code is loaded when it is the one to run.

const output = new Output(asksForJson(process.argv.slice(2)), process.stdout, process.stderr)
// Whoever reads our stdout may leave when he has seen enough; a worker goes on when nobody reads its log any more.
process.stdout.on('error', () => process.exit())
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
    .command('run')
    .description('run a worker for the groups of a config file, until SIGINT or SIGTERM')
    .argument('[config]', 'the config file')
    .action(async (config: string | undefined) => {
      const { run } = await import('./commands/run.ts')
      await run(invocation(), config)
    })

  program
    .command('status')
    .description('how far every group is: owner, lag, pending, parked and damage of each partition')
    .action(async () => {
      const { status } = await import('./commands/status.ts')
      await status(invocation())
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
    .argument('<file>', 'NDJSON, a JSON value a line; - reads stdin')
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
    .command('capture')
    .description('copy a Redis into another, without touching it, and follow it')
    .requiredOption('--from <url>', 'the Redis to follow: redis://, rediss:// or unix://')
    .requiredOption('--to <url>', 'the Redis that becomes its replica')
    .addOption(
      new Option('--mode <mode>', 'commands: every transaction, as it was')
        .choices(['commands'])
        .makeOptionMandatory(),
    )
    .option('--once', 'end when it has what the source has now, and let its keys expire by themselves')
    .option('--replace', 'delete what the target holds, if it is not of this capture')
    .option('--name <name>', 'of this capture, at the target (default: default)')
    .option('--spool <folder>', 'for what the target does not have yet (default: in the folder for state)')
    .action(async (options: CaptureOptions) => {
      const { capture } = await import('./commands/capture.ts')
      await capture(invocation(), options)
    })

  return program
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

function integerFrom(min: number): (text: string) => number {
  return (text) => {
    if (/^\d{1,15}$/.test(text) && Number(text) >= min) return Number(text)
    throw new InvalidArgumentError(`It must be a whole number from ${min}.`)
  }
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
