import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CsvError, parse, type InfoCallback } from 'csv-parse'
import { CliError } from './cli-error.ts'
import type { CsvCells } from './csv-cells.ts'
import { recordBytesMax, type RecordLine } from './record-line.ts'

interface Row {
  readonly record: readonly (string | undefined)[]
  readonly info: InfoCallback
}

/**
 * Reads CSV: a line of column names, then records. Cells too many or too few do not hurt the next record; after a misplaced
 * quote nothing more is read.
 *
 * @throws CliError FILE_UNREADABLE
 */
export async function* csvRecords(
  source: AsyncIterable<Uint8Array>,
  cells: CsvCells,
): AsyncGenerator<RecordLine> {
  const parser = parse({
    bom: true,
    info: true,
    record_delimiter: ['\r\n', '\n'],
    skip_empty_lines: true,
    relax_column_count: true,
    max_record_size: recordBytesMax,
    cast: (cell, { quoting }) => (cell === '' && !quoting ? undefined : cell),
    skip_records_with_error: true,
    // Into the same queue, so that it comes in its place.
    on_skip: (error) => void parser.push(error),
  })
  const feeding = pipeline(Readable.from(textOf(source)), parser)
  // Told by the loop; and when the caller leaves it early, that is no error.
  feeding.catch(() => {})
  let columns: readonly string[] | undefined
  let bytesBefore = 0
  for await (const parsed of parser as AsyncIterable<Row | CsvError>) {
    if (parsed instanceof CsvError) {
      const number = Number(parsed['lines'])
      if (!columns) throw unreadable(number, faultOf(parsed))
      // It is not clear any more where records begin, and to guess would be to make them up.
      yield { number, bytes: 0, kind: 'broken', why: `${faultOf(parsed)}; nothing behind it was read` }
      return
    }
    const { record, info } = parsed
    if (!columns) {
      columns = columnsOf(record)
      continue
    }
    const line = { number: info.lines, bytes: info.bytes - bytesBefore }
    bytesBefore = info.bytes
    if (record.length !== columns.length) {
      const why = `the record has ${record.length} cells, but there are ${columns.length} columns`
      yield { ...line, kind: 'broken', why }
      continue
    }
    yield { ...line, kind: 'value', value: valueOf(columns, record, cells) }
  }
}

function valueOf(columns: readonly string[], record: Row['record'], cells: CsvCells): object {
  const members = columns.map((column, at) => [column, cells.read(column, record[at])] as const)
  return Object.fromEntries(members.filter(([, value]) => value !== undefined))
}

function columnsOf(record: Row['record']): string[] {
  const columns = record.map((column, at) => {
    if (column) return column
    throw unreadable(1, `column ${at + 1} has no name`)
  })
  const twice = columns.find((column, at) => columns.indexOf(column) !== at)
  if (twice === undefined) return columns
  throw unreadable(1, `two columns have the name ${JSON.stringify(twice)}`)
}

/** In our words: those of the parser quote the cell. */
function faultOf({ code }: CsvError): string {
  if (code === 'CSV_MAX_RECORD_SIZE') return `a record has more than ${recordBytesMax} bytes`
  if (code === 'CSV_QUOTE_NOT_CLOSED') return 'a quote is opened and never closed'
  return 'a quote stands in the middle of a cell: quote the whole cell, and double the quotes in it'
}

async function* textOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  try {
    for await (const chunk of source) yield utf8.decode(chunk, { stream: true })
    yield utf8.decode()
  } catch (error) {
    if (error instanceof TypeError)
      throw new CliError('FILE_UNREADABLE', 'The CSV is no UTF-8.', { cause: error })
    throw error
  }
}

function unreadable(line: number, why: string): CliError {
  return new CliError('FILE_UNREADABLE', `The CSV cannot be read at line ${line}: ${why}.`)
}
