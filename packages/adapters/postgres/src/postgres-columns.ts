import { HeadwaterError, type CollectionOf } from '@headwater/core'
import { columnTypes, type ColumnType } from './column-type.ts'
import { checkColumnName } from './identifier.ts'

/** Where a property of the values goes, when the schema's own name and type are not what the table needs. */
export interface ColumnOptions {
  /** Default: the property's name. */
  readonly name?: string
  /** Default: what the collection's JSON Schema suggests. */
  readonly type?: ColumnType
}

/** A property of the values and its column. */
export interface Column {
  readonly property: string
  readonly name: string
  readonly type: ColumnType
}

/** By property; a text is short for `{ name }`. */
export type ColumnMapping<T> = { readonly [Property in keyof T & string]?: string | ColumnOptions }

const remedy = 'name the column in `columns`, such as columns: { property: "name" }'

/**
 * One column a property: those of the collection's JSON Schema, changed and extended by the mapping.
 *
 * @throws HeadwaterError OPTION_INVALID
 */
export function columnsOf<T>(collection: CollectionOf<T>, mapping: ColumnMapping<T> = {}): readonly Column[] {
  const wishes = new Map(Object.entries<string | ColumnOptions | undefined>(mapping))
  const suggested = suggestedTypes(collection.jsonSchema())
  const columns: Column[] = []
  for (const property of new Set([...suggested.keys(), ...wishes.keys()])) {
    const wish = wishes.get(property)
    const { name = property, type = suggested.get(property) } =
      typeof wish === 'string' ? { name: wish } : (wish ?? {})
    checkColumnName(name, `The column of property ${JSON.stringify(property)}`, remedy)
    if (columns.some((column) => column.name === name)) {
      throw new HeadwaterError(
        'OPTION_INVALID',
        `Two properties have the column ${JSON.stringify(name)}: ${remedy}.`,
      )
    }
    columns.push({ property, name, type: checkType(collection, property, type) })
  }
  if (columns.length === 0) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `Collection "${collection.name}" has no JSON Schema with properties: give \`columns\` with a type for each, or use layout: "jsonb".`,
    )
  }
  return columns
}

function checkType(
  collection: CollectionOf<unknown>,
  property: string,
  type: ColumnType | undefined,
): ColumnType {
  const types = Object.keys(columnTypes).join(', ')
  if (type === undefined) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `The schema of collection "${collection.name}" does not describe property ${JSON.stringify(property)}: give its column a type (${types}).`,
    )
  }
  if (!Object.hasOwn(columnTypes, type)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `The column of property ${JSON.stringify(property)} has type ${JSON.stringify(type)}: use one of ${types}.`,
    )
  }
  return type
}

type JsonSchema = Readonly<Record<string, unknown>>

function suggestedTypes(schema: JsonSchema | undefined): Map<string, ColumnType> {
  const properties = isObject(schema?.['properties']) ? schema['properties'] : {}
  return new Map(
    Object.entries(properties).map(([property, described]) => [property, suggestedType(described)]),
  )
}

/** What has one scalar type gets a column of it; everything else is JSON, which holds whatever comes. */
function suggestedType(schema: unknown): ColumnType {
  const types = jsonTypes(schema)
  types?.delete('null')
  switch (types && [...types].sort().join()) {
    case 'string':
      return 'text'
    case 'integer':
      return 'bigint'
    case 'number':
    case 'integer,number':
      return 'double precision'
    case 'boolean':
      return 'boolean'
    default:
      return 'jsonb'
  }
}

/** The JSON types that a schema allows, or undefined where it does not say. */
function jsonTypes(schema: unknown): Set<string> | undefined {
  if (!isObject(schema)) return undefined
  const { type, enum: values, anyOf, oneOf } = schema
  if (typeof type === 'string') return new Set([type])
  if (Array.isArray(type)) return new Set(type.map(String))
  if (Array.isArray(values)) return new Set(values.map(jsonTypeOf))
  if ('const' in schema) return new Set([jsonTypeOf(schema['const'])])
  const alternatives = Array.isArray(anyOf) ? anyOf : oneOf
  if (!Array.isArray(alternatives)) return undefined
  const union = new Set<string>()
  for (const alternative of alternatives) {
    const types = jsonTypes(alternative)
    if (!types) return undefined
    for (const one of types) union.add(one)
  }
  return union
}

function jsonTypeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
