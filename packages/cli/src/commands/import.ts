import { CsvCells } from '../csv-cells.ts'
import { csvRecords } from '../csv-records.ts'
import { ImportTally } from '../import-tally.ts'
import type { Invocation } from '../invocation.ts'
import { ndjsonLines } from '../ndjson-lines.ts'
import { openToWrite, type WriteOptions } from '../open-log.ts'
import { count } from '../output.ts'
import { formatOf, type RecordFormat } from '../record-format.ts'
import { RecordImporter } from '../record-importer.ts'
import { openRecords } from '../record-source.ts'
import { exitCodeOf, stopSignal, type StopReason } from '../stop-signal.ts'

export interface ImportOptions extends WriteOptions {
  readonly format?: RecordFormat
  /** What to do after a record that cannot be appended as it is. */
  readonly onError: 'stop' | 'continue'
  readonly idempotencyKey?: string
  readonly metadata?: Readonly<Record<string, string>>
}

/** Puts every record of an NDJSON or CSV file, or of stdin for `-`. The process ends with 1 unless all of them are in the log. */
export async function importRecords(
  { options: global, output }: Invocation,
  name: string,
  path: string,
  { format, onError, idempotencyKey, metadata, ...options }: ImportOptions,
): Promise<void> {
  const source = openRecords(path)
  await using target = await openToWrite(global, name, options)
  const stop = stopSignal()
  const tally = new ImportTally()
  const importer = new RecordImporter({
    target,
    tally,
    idempotencyKey,
    metadata,
    onFailure: (failure) => {
      tally.fail(failure)
      output.note(`line ${count(failure.line)}: ${failure.message} [${failure.code}]`)
    },
  })

  const chunks = source.chunks(stop)
  const lines =
    formatOf(path, format) === 'csv'
      ? csvRecords(chunks, new CsvCells(target.collection))
      : ndjsonLines(chunks)
  for await (const line of lines) {
    await importer.add(line)
    output.progress(() => tally.progress(source.bytes), tally.share(source.bytes))
    // A record that its definition refuses is known by now: nothing behind it is sent.
    if (importer.error || (tally.failed > 0 && onError === 'stop')) break
  }
  await importer.settled()

  const { error } = importer
  if (error) output.note(`headwater: ${error.message} [${error.code}]`)
  const interrupted = stop.aborted ? (stop.reason as StopReason) : undefined
  await output.result(
    {
      collection: name,
      ...tally.result(),
      ...(interrupted && { interrupted }),
      ...(error && { error: { code: error.code, message: error.message } }),
    },
    () => tally.summary(name),
  )
  if (interrupted) process.exitCode = exitCodeOf(interrupted)
  else if (error || tally.failed > 0) process.exitCode = 1
}
