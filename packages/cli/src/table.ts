export interface Column<Row> {
  readonly title: string
  readonly align?: 'left' | 'right'
  readonly text: (row: Row) => string
  /** Colours for the cell after it was padded. Default: none. */
  readonly style?: (row: Row, text: string) => string
}

/** Rows under titles, each column as wide as its widest cell. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const widths = columns.map(({ title, text }) =>
    Math.max(title.length, ...rows.map((row) => text(row).length)),
  )
  const line = (cell: (column: Column<Row>, pad: (text: string) => string) => string): string =>
    columns
      .map((column, at) => {
        const width = widths[at] ?? 0
        return cell(column, (text) => (column.align === 'right' ? text.padStart(width) : text.padEnd(width)))
      })
      .join('  ')
      .trimEnd()
  return [
    line(({ title }, pad) => pad(title)),
    ...rows.map((row) => line(({ text, style }, pad) => style?.(row, pad(text(row))) ?? pad(text(row)))),
  ].join('\n')
}
