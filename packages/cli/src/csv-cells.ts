import type { AnyCollection } from '@headwater/core'

type JsonSchema = Readonly<Record<string, unknown>>
type JsonType = 'string' | 'number' | 'integer' | 'boolean' | 'object' | 'array' | 'null'

/**
 * Members of values as cells. Texts stand as they are, everything else as JSON. An empty cell is a member that is absent, or
 * null where the schema demands the member and allows null; an empty text is `""`. What a cell means is for the
 * collection's schema to say: where it gives none, or allows texts, a cell is a text.
 */
export class CsvCells {
  readonly #types: ReadonlyMap<string, ReadonlySet<JsonType>>
  readonly #required: ReadonlySet<string>

  constructor(collection: AnyCollection) {
    const schema = collection.jsonSchema() ?? {}
    const properties = Object.entries((schema['properties'] ?? {}) as Readonly<Record<string, JsonSchema>>)
    this.#types = new Map(properties.map(([name, property]) => [name, new Set(typesOf(property))]))
    this.#required = new Set((schema['required'] ?? []) as string[])
  }

  /** The columns that the schema knows. */
  get columns(): string[] {
    return [...this.#types.keys()]
  }

  /** @param cell undefined for an empty one that is not quoted */
  read(column: string, cell: string | undefined): unknown {
    const types = this.#types.get(column)
    if (cell === undefined) return types?.has('null') && this.#required.has(column) ? null : undefined
    if (!types || types.size === 0 || types.has('string')) return cell
    try {
      return JSON.parse(cell)
    } catch {
      // As a text it is refused by the schema, which says what it wants instead.
      return cell
    }
  }

  /** Texts come as texts, to be quoted; everything else as what stands in the cell. */
  write(value: unknown): string | { readonly json: string } | undefined {
    if (value === undefined || value === null) return undefined
    return typeof value === 'string' ? value : { json: JSON.stringify(value) }
  }
}

function typesOf({ type, enum: members, const: only, anyOf, oneOf }: JsonSchema): JsonType[] {
  const values = [...((members as unknown[] | undefined) ?? []), ...(only === undefined ? [] : [only])]
  const choices = [
    ...((anyOf as JsonSchema[] | undefined) ?? []),
    ...((oneOf as JsonSchema[] | undefined) ?? []),
  ]
  return [
    ...[type ?? []].flat().map((name) => name as JsonType),
    ...values.map((value) => (value === null ? 'null' : (typeof value as JsonType))),
    ...choices.flatMap(typesOf),
  ]
}
