import { InvalidArgumentError, Option, type Command } from 'commander'
import type { AppendChangeOptions } from '../append-change.ts'
import type { ExportFlags } from '../commands/export.ts'
import type { HistoryFlags } from '../commands/history.ts'
import type { ImportOptions } from '../commands/import.ts'
import { integerFrom } from '../integer-from.ts'
import type { Invocation } from '../invocation.ts'
import { recordFormats } from '../record-format.ts'

/** What reads and writes what a log holds. */
export function addRecordCommands(program: Command, invocation: () => Invocation): void {
  program
    .command('get')
    .description('the latest value of a key, with its version and position')
    .argument('<collection>')
    .argument('<key>')
    .action(async (collection: string, key: string) => {
      const { get } = await import('../commands/get.ts')
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
      const { history } = await import('../commands/history.ts')
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
      const { append } = await import('../commands/append.ts')
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
      const { deleteKey } = await import('../commands/delete.ts')
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
      const { importRecords } = await import('../commands/import.ts')
      await importRecords(invocation(), collection, file, options)
    })

  program
    .command('export')
    .description('write every value of a collection, as of one position in each partition')
    .argument('<collection>')
    .argument('[file]', 'where to; - is stdout', '-')
    .addOption(formatOption())
    .action(async (collection: string, file: string, options: ExportFlags) => {
      const { exportRecords } = await import('../commands/export.ts')
      await exportRecords(invocation(), collection, file, options)
    })
}

function formatOption(): Option {
  return new Option('--format <format>', 'of the records (default: csv for *.csv, else ndjson)').choices(
    recordFormats,
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
