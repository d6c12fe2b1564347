import { Readable } from 'node:stream'
import { stringify } from 'csv-stringify'
import type { CsvCells } from './csv-cells.ts'

/** Writes objects as CSV with a line of column names. Texts are quoted, so that an empty one is not an absent one. */
export function csvText(
  columns: readonly string[],
  cells: CsvCells,
  values: AsyncIterable<object>,
): AsyncIterable<string | Buffer> {
  async function* rows(): AsyncGenerator<unknown[]> {
    yield [...columns]
    for await (const value of values) {
      yield columns.map((column) =>
        cells.write(Object.hasOwn(value, column) ? value[column as keyof typeof value] : undefined),
      )
    }
  }
  return Readable.from(rows()).pipe(
    stringify({ quoted_string: true, cast: { object: (cell) => (cell as { json: string }).json } }),
  )
}
