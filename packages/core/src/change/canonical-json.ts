import { HeadwaterError } from '../errors/headwater-error.ts'

/** Deeper nesting is refused: Redis's own JSON decoder and others stop at 1,000. */
const depthMax = 500

/**
 * Writes a JSON value in the one canonical form of RFC 8785 (JCS): properties sorted by UTF-16 code units,
 * numbers as ECMAScript prints them, no white space. Equal values give equal text, whatever the order in which
 * their properties were set, so texts and their hashes can be compared instead of values.
 *
 * Properties that are `undefined` are left out, as a schema's optional properties come; everything else that
 * JSON cannot hold is refused instead of being turned into something else silently.
 *
 * @throws HeadwaterError VALUE_INVALID, naming the path
 */
export function canonicalJson(value: unknown): string {
  switch (inspect(value, 0)) {
    case Order.canonical:
      return JSON.stringify(value)
    case Order.sortable:
      return JSON.stringify(sorted(value))
    default:
      return write(value, 0, undefined)
  }
}

/** How far a value is from its canonical form: what the built-in writer can be trusted with. */
const Order = { canonical: 0, sortable: 1, byHand: 2 } as const
type Order = (typeof Order)[keyof typeof Order]

const zero = 48
const nine = 57

/**
 * Looks at a value without writing anything, because the built-in writer is five times as fast as ours. It gives the
 * canonical form of a value whose properties stand in order, or can be put in order; not of one with properties that
 * look like numbers, which JavaScript always puts first. What has to be refused is left to `write`, which knows where it is.
 */
function inspect(value: unknown, depth: number): Order {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? Order.canonical : Order.byHand
    case 'number':
      return Number.isFinite(value) ? Order.canonical : Order.byHand
    case 'boolean':
      return Order.canonical
    case 'object': {
      if (value === null) return Order.canonical
      if (depth === depthMax) return Order.byHand
      return Array.isArray(value) ? inspectArray(value, depth) : inspectObject(value, depth)
    }
    default:
      return Order.byHand
  }
}

/**
 * Whether JSON that somebody else wrote is nested deeper than any of ours, so that whoever recurses through it, as sinks and
 * drivers do, could run out of stack.
 *
 * @param value what the text says
 */
export function isTooDeep(text: string, value: unknown): boolean {
  return text.length > 2 * depthMax && opensOften(text) && reaches(value, depthMax)
}

/** Spares most values the walk. */
function opensOften(text: string): boolean {
  let left = depthMax
  for (const bracket of '[{') {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1))
      if (left-- === 0) return true
  }
  return false
}

function reaches(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((member) => reaches(member, levels - 1))
}

function inspectArray(items: readonly unknown[], depth: number): Order {
  let order: Order = Order.canonical
  for (let index = 0; index < items.length; index++) {
    order = Math.max(order, inspect(items[index], depth + 1)) as Order
    if (order === Order.byHand) break
  }
  return order
}

function inspectObject(value: object, depth: number): Order {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return Order.byHand
  let order: Order = Order.canonical
  let before = ''
  for (const name of Object.keys(value)) {
    const first = name.charCodeAt(0)
    if ((first >= zero && first <= nine) || name === '__proto__' || !name.isWellFormed()) return Order.byHand
    if (name < before) order = Order.sortable
    before = name
    const member: unknown = (value as Record<string, unknown>)[name]
    if (member === undefined) continue
    order = Math.max(order, inspect(member, depth + 1)) as Order
    if (order === Order.byHand) break
  }
  return order
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  const copy: Record<string, unknown> = {}
  for (const name of Object.keys(value).sort()) copy[name] = sorted((value as Record<string, unknown>)[name])
  return copy
}

/** The way to a value, innermost first. Only built where something has to be refused or descended into. */
interface Path {
  readonly name: string | number
  readonly parent: Path | undefined
}

function write(value: unknown, depth: number, path: Path | undefined): string {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) refuse('text with a lone surrogate', path)
      return JSON.stringify(value)
    case 'number':
      if (!Number.isFinite(value)) refuse(String(value), path)
      return JSON.stringify(value)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      if (value === null) return 'null'
      if (depth === depthMax) refuse(`nesting deeper than ${depthMax} (or a cycle)`, path)
      return Array.isArray(value) ? writeArray(value, depth, path) : writeObject(value, depth, path)
    default:
      return refuse(describe(value), path)
  }
}

function writeArray(items: readonly unknown[], depth: number, path: Path | undefined): string {
  let text = '['
  for (let index = 0; index < items.length; index++) {
    if (index > 0) text += ','
    text += write(items[index], depth + 1, { name: index, parent: path })
  }
  return `${text}]`
}

function writeObject(value: object, depth: number, path: Path | undefined): string {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null && !isPlainFromElsewhere(prototype)) {
    refuse(describe(value), path)
  }
  let text = '{'
  for (const name of Object.keys(value).sort()) {
    const member: unknown = (value as Record<string, unknown>)[name]
    if (member === undefined) continue
    if (!name.isWellFormed()) refuse('a property name with a lone surrogate', path)
    if (text.length > 1) text += ','
    text += `${JSON.stringify(name)}:${write(member, depth + 1, { name, parent: path })}`
  }
  return `${text}}`
}

/** Plain objects of another realm (a vm context, a worker's structured clone) have that realm's Object.prototype. */
function isPlainFromElsewhere(prototype: unknown): boolean {
  return (
    typeof prototype === 'object' &&
    Object.getPrototypeOf(prototype) === null &&
    'isPrototypeOf' in (prototype as object)
  )
}

function describe(value: unknown): string {
  if (typeof value === 'object' && value !== null) {
    const name = (value.constructor as { name?: string } | undefined)?.name
    return name === 'Date' ? 'a Date (store an ISO 8601 text instead)' : `an instance of ${name ?? 'a class'}`
  }
  return `a value of type ${typeof value}`
}

function refuse(what: string, path: Path | undefined): never {
  const names: (string | number)[] = []
  for (let at = path; at; at = at.parent) names.unshift(at.name)
  const where =
    names.length === 0 ? 'The value' : `The value at ${JSON.stringify(names.slice(0, 20).join('.'))}`
  throw new HeadwaterError('VALUE_INVALID', `${where} is ${what}, which JSON cannot hold.`)
}
