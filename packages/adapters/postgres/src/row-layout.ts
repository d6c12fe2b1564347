import { readablePayload, type Change } from '@headwater/core'
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

type WrittenRow =
  | { readonly kind: 'fits'; readonly cells: readonly (string | null)[] }
  | { readonly kind: 'misfit'; readonly reason: string }

/** The whole value in one jsonb column. */
export function documentLayout(name: string): RowLayout {
  return {
    columns: [{ name, type: 'jsonb' }],
    write: (change) => ({ kind: 'fits', cells: [readablePayload(change)] }),
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
  const inColumns = new Set(own.map(({ property }) => property))
  const written = [...own, { name: rest, type: 'jsonb' } as const]

  function write({ key, value }: Change): WrittenRow {
    if (!isObject(value)) return { kind: 'misfit', reason: 'the value is no object, so it has no properties' }
    if (keyProperty !== undefined && memberOf(value, keyProperty) !== key) {
      return misfit(keyProperty, keyColumn, 'is not the key of the change')
    }
    const cells: (string | null)[] = []
    let held = keyProperty === undefined ? 0 : 1
    for (const { property, name, type } of own) {
      const member = memberOf(value, property)
      if (member === null || member === undefined) {
        cells.push(null)
        continue
      }
      const cell = columnTypes[type].write(member)
      if (cell === undefined) return misfit(property, name, `does not fit the type ${type}`)
      cells.push(cell)
      held++
    }
    cells.push(held === Object.keys(value).length ? null : othersOf(value))
    return { kind: 'fits', cells }
  }

  function othersOf(value: JsonObject): string {
    const others = Object.entries(value).filter(
      ([property, member]) => member === null || !(inColumns.has(property) || property === keyProperty),
    )
    return JSON.stringify(Object.fromEntries(others))
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

type JsonObject = Readonly<Record<string, unknown>>

/** Not what the object inherits: a property may be called "constructor". */
function memberOf(value: JsonObject, property: string): unknown {
  return Object.hasOwn(value, property) ? value[property] : undefined
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
