/**
 * What a column can be. Each holds every value that it accepts exactly, so that what is read back is what was applied:
 *
 * | type | takes | |
 * |---|---|---|
 * | `text` | texts without U+0000 | date-times too: `timestamptz` would forget how they were written |
 * | `boolean` | booleans | |
 * | `integer`, `bigint` | integers up to 2^31, up to 2^53 | |
 * | `double precision`, `numeric` | numbers | `numeric` sums without rounding, and is larger |
 * | `jsonb` | any JSON without U+0000 in it | |
 * | `json` | any JSON | Postgres cannot compare or index it |
 * | `timestamptz` | date-times as `toISOString()` writes them | all other forms are rejected, for their text would be lost |
 */
export type ColumnType =
  | 'text'
  | 'boolean'
  | 'integer'
  | 'bigint'
  | 'double precision'
  | 'numeric'
  | 'jsonb'
  | 'json'
  | 'timestamptz'

/** How values go into a column of one type, and come back. */
export interface ColumnTypeRules {
  /** The value as Postgres reads it, or undefined for a value that this type cannot give back unchanged. */
  readonly write: (value: unknown) => string | undefined
  /** What Postgres wrote, as the value. Never fails: what nobody can have applied comes back as its text. */
  readonly read: (text: string) => unknown
  /** The SQL expression that reads the column, where it is not the column itself. */
  readonly select?: (column: string) => string
}

const text: ColumnTypeRules = {
  write: (value) => (typeof value === 'string' ? value : undefined),
  read: (written) => written,
}

const wholeNumber: ColumnTypeRules = {
  write: (value) => (Number.isSafeInteger(value) ? String(value) : undefined),
  read: readNumber,
}

const number: ColumnTypeRules = {
  write: (value) => (typeof value === 'number' ? String(value) : undefined),
  read: readNumber,
}

const json: ColumnTypeRules = {
  write: (value) => JSON.stringify(value),
  read: (written): unknown => JSON.parse(written),
}

export const columnTypes: Readonly<Record<ColumnType, ColumnTypeRules>> = {
  text,
  boolean: {
    write: (value) => (typeof value === 'boolean' ? String(value) : undefined),
    read: (written) => written === 't',
  },
  integer: wholeNumber,
  bigint: wholeNumber,
  'double precision': number,
  numeric: number,
  jsonb: json,
  json,
  timestamptz: {
    write: (value) => (typeof value === 'string' && isIsoInstant(value) ? value : undefined),
    // Postgres keeps microseconds; ours always end in zeros, and a time that somebody else wrote must not look like ours.
    read: (written) => written.replace(/000Z$/, 'Z'),
    // How a session writes times depends on its DateStyle and TimeZone.
    select: (column) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
  },
}

/** Whether its texts are numbers only. */
export function isNumeric(type: ColumnType): boolean {
  return columnTypes[type] === wholeNumber || columnTypes[type] === number
}

/** What `format_type` calls it. */
export function sqlTypeName(type: ColumnType): string {
  return type === 'timestamptz' ? 'timestamp with time zone' : type
}

function readNumber(written: string): unknown {
  const value = Number(written)
  return Number.isFinite(value) ? value : written
}

function isIsoInstant(value: string): boolean {
  const time = Date.parse(value)
  return !Number.isNaN(time) && new Date(time).toISOString() === value
}
