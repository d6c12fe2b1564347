import { canonicalJson, HeadwaterError } from '@headwater/core'

/**
 * How a value stands in a Redis hash: a field for each property of the object.
 *
 * - A text stands as it is, unless it could be read as JSON ("5", "true", "[1]"): then it stands in JSON's quotes.
 * - Everything else stands as canonical JSON: `5`, `true`, `null`, `{"a":1}`.
 * - So who reads tries JSON first, and takes as text what is none.
 * - A hash cannot be empty: `{}` is the field "" with nothing in it. (A property named "" always stands as JSON,
 *   which is never nothing.)
 *
 * @returns field, content, field, content …
 * @throws HeadwaterError SINK_REJECTED when the value is no object
 */
export function toHashFields(value: unknown): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HeadwaterError(
      'SINK_REJECTED',
      `${describe(value)} has no properties to be fields of a hash: use value: 'json'.`,
    )
  }
  const fields: string[] = []
  for (const [name, member] of Object.entries(value)) {
    const plain = typeof member === 'string' && name !== '' && !isJson(member)
    fields.push(name, plain ? member : canonicalJson(member))
  }
  return fields.length === 0 ? ['', ''] : fields
}

/** The value that `toHashFields` wrote. Total: whatever stands in a hash reads as some object. */
export function fromHashFields(fields: readonly string[]): Record<string, unknown> {
  const members: [string, unknown][] = []
  for (let index = 0; index < fields.length; index += 2) {
    const [name = '', content = ''] = fields.slice(index, index + 2)
    if (name !== '' || content !== '') members.push([name, parseContent(content)])
  }
  // Defines properties, as JSON.parse does; an assignment would take "__proto__" for the prototype.
  return Object.fromEntries(members)
}

function parseContent(content: string): unknown {
  if (!looksLikeJson.test(content)) return content
  try {
    return JSON.parse(content)
  } catch {
    return content
  }
}

/** What all JSON texts match: spares most texts the attempt to parse them. */
const looksLikeJson = /^[ \t\n\r]*(?:["{[\-\d]|(?:true|false|null)[ \t\n\r]*$)/

function isJson(text: string): boolean {
  if (!looksLikeJson.test(text)) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function describe(value: unknown): string {
  return Array.isArray(value) ? 'An array' : value === null ? 'null' : `A ${typeof value}`
}
