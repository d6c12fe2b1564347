import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { callerPath } from '../caller-path.ts'
import { CliError } from '../cli-error.ts'
import { CollectionCopy } from '../collection-copy.ts'
import { CsvCells } from '../csv-cells.ts'
import { csvText } from '../csv-text.ts'
import type { Invocation } from '../invocation.ts'
import { openToRead, type OpenCollection } from '../open-log.ts'
import { count, duration, timeLeft, type Output } from '../output.ts'
import { formatOf, type RecordFormat } from '../record-format.ts'
import { exitCodeOf, stopSignal, type StopReason } from '../stop-signal.ts'

export interface ExportFlags {
  readonly format?: RecordFormat
}

/** Writes every live value of a collection, as of one position in each partition, to a file, or to stdout for `-`. */
export async function exportRecords(
  { options, output }: Invocation,
  name: string,
  path: string,
  { format: asked }: ExportFlags,
): Promise<void> {
  if (path === '-' && output.json) {
    throw new CliError('USAGE', 'The records themselves go to stdout: name a file, or leave --json out.')
  }
  const startedAt = performance.now()
  const format = formatOf(path, asked)
  const stop = stopSignal()
  await using opened = await openToRead(options, name)
  const { log, collection } = opened
  try {
    const entities = await log.count(collection)
    await using copy = await CollectionCopy.take(log, collection, stepOf(output, 'read', entities), stop)
    let records = 0
    const onWritten = stepOf(output, 'written', entities)
    const counted = async function* (): AsyncGenerator {
      for await (const value of copy.values()) {
        onWritten(++records)
        yield value
      }
    }
    const text = format === 'csv' ? csvOf(opened, copy, counted()) : ndjsonOf(counted())
    await write(path, text, stop)
    const seconds = Math.round(performance.now() - startedAt) / 1_000
    const { positions } = copy
    const summary = `Exported ${count(records)} records of ${name} as of ${positions.join(' ')} in ${duration(seconds)}.`
    if (path === '-') output.note(summary)
    else
      await output.result(
        { collection: name, file: path, format, records, positions, seconds },
        () => summary,
      )
  } catch (error) {
    if (!stop.aborted) throw error
    process.exitCode = exitCodeOf(stop.reason as StopReason)
  }
}

/** All entities are read before the first is written. While others write, there may be more of them than were counted. */
function stepOf(output: Output, what: 'read' | 'written', counted: number): (records: number) => void {
  const began = performance.now()
  return (records) => {
    const total = Math.max(counted, records)
    const share = records / total
    output.progress(
      () => `${count(records)} of ${count(total)} records ${what}${timeLeft(began, share)}`,
      share,
    )
  }
}

function csvOf(
  { collection }: OpenCollection,
  { members }: CollectionCopy,
  values: AsyncIterable<unknown>,
): AsyncIterable<string | Buffer> {
  const cells = new CsvCells(collection)
  return csvText([...new Set([...cells.columns, ...members])], cells, objectsIn(values))
}

async function* objectsIn(values: AsyncIterable<unknown>): AsyncGenerator<object> {
  for await (const value of values) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new CliError(
        'USAGE',
        'CSV holds objects, and here is a value that is none: give --format ndjson.',
      )
    }
    yield value
  }
}

async function* ndjsonOf(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const value of values) yield `${JSON.stringify(value)}\n`
}

/** A file appears under its name when it is whole. */
async function write(path: string, text: AsyncIterable<string | Buffer>, signal: AbortSignal): Promise<void> {
  if (path === '-') return await pipeline(Readable.from(text), process.stdout, { end: false, signal })
  const file = callerPath(path)
  // Of its own, so that two calls at once do not write into one file.
  const unfinished = `${file}.${randomBytes(6).toString('hex')}.unfinished`
  try {
    await pipeline(Readable.from(text), createWriteStream(unfinished), { signal })
    await rename(unfinished, file)
  } catch (error) {
    // What cannot be removed was never there; why it could not be written is the news.
    await rm(unfinished, { force: true }).catch(() => {})
    throw isSystemError(error)
      ? new CliError('FILE_UNWRITABLE', `${file} cannot be written: ${error.message}.`, { cause: error })
      : error
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error
}
