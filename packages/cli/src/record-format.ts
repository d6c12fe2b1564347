import { extname } from 'node:path'

/** How records stand in a file: NDJSON, a JSON value a line, or CSV with a line of column names. */
export const recordFormats = ['ndjson', 'csv'] as const
export type RecordFormat = (typeof recordFormats)[number]

/** What was asked for, else what the file's name says, else NDJSON. */
export function formatOf(path: string, asked: RecordFormat | undefined): RecordFormat {
  return asked ?? (extname(path).toLowerCase() === '.csv' ? 'csv' : 'ndjson')
}
