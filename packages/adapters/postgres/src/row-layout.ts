import type { Change } from '@headwater/core'
import { columnTypes, type ColumnType } from './column-type.ts'
import type { Column } from './postgres-columns.ts'
import type { PostgresRow } from './postgres-client.ts'

/** How a value lies in the columns of its row. */
export interface RowLayout {
  readonly columns: readonly LayoutColumn[]
  /** The texts for the columns, in their order; or why the value does not fit. */
  write(change: Change): WrittenRow
  /** The value of a row that was selected with the columns' names. */
  read(row: PostgresRow): unknown
}

export interface LayoutColumn {
  readonly name: string
  readonly type: ColumnType
}

export type WrittenRow =
  | { readonly kind: 'fits'; readonly cells: readonly (string | null)[] }
  | { readonly kind: 'misfit'; readonly reason: string }

/** The whole value in one jsonb column. */
export function documentLayout(name: string): RowLayout {
  return {
    columns: [{ name, type: 'jsonb' }],
    write: ({ payload }) => ({ kind: 'fits', cells: [payload] }),
    read: (row): unknown => JSON.parse(row[name] ?? 'null'),
  }
}

/**
 * A column a property. NULL always says that the property is absent. What columns cannot say stands in the column
 * `rest`, as a jsonb object: properties that are null, and properties without a column; it is NULL in all other rows.
 * So the meaning of a row does not depend on the schema of the day, in which a property may be optional, or nullable.
 *
 * Where `keyColumn` is the column of a property, the key is written there and the property is not written again.
 */
export function columnLayout(columns: readonly Column[], rest: string, keyColumn: string): RowLayout {
  const keyProperty = columns.find(({ name }) => name === keyColumn)?.property
  const own = columns.filter(({ name }) => name !== keyColumn)
  const places = new Map(own.map(({ property, type, name }, index) => [property, { index, type, name }]))
  const written = [...own, { name: rest, type: 'jsonb' } as const]

  function write({ key, value }: Change): WrittenRow {
    if (!isObject(value)) return { kind: 'misfit', reason: 'the value is no object, so it has no properties' }
    const cells: (string | null)[] = Array.from(written, () => null)
    const others: [string, unknown][] = []
    for (const [property, member] of Object.entries(value)) {
      const place = places.get(property)
      if (property === keyProperty) {
        if (member !== key) return misfit(property, keyColumn, 'is not the key of the change')
      } else if (!place || member === null) {
        others.push([property, member])
      } else {
        const cell = columnTypes[place.type].write(member)
        if (cell === undefined) return misfit(property, place.name, `does not fit the type ${place.type}`)
        cells[place.index] = cell
      }
    }
    if (keyProperty !== undefined && !Object.hasOwn(value, keyProperty)) {
      return misfit(keyProperty, keyColumn, 'is absent, and should be the key')
    }
    if (others.length > 0) cells[own.length] = JSON.stringify(Object.fromEntries(others))
    return { kind: 'fits', cells }
  }

  function read(row: PostgresRow): unknown {
    const others: unknown = JSON.parse(row[rest] ?? '{}')
    // The columns come last: when somebody fills in a NULL that stood for null, it must show.
    const members = new Map<string, unknown>(isObject(others) ? Object.entries(others) : [])
    for (const { property, name, type } of columns) {
      const cell = row[name]
      if (typeof cell === 'string') members.set(property, columnTypes[type].read(cell))
    }
    return Object.fromEntries(members)
  }

  return { columns: written, write, read }
}

function misfit(property: string, column: string, what: string): WrittenRow {
  return { kind: 'misfit', reason: `property ${JSON.stringify(property)} of column "${column}" ${what}` }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
