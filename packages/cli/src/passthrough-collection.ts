import { defineCollection, type AnyCollection, type StateKept } from '@headwater/core'

export interface PassthroughOptions {
  /** Which property of a value holds its key. */
  readonly key: string
  readonly schemaVersion: number
  readonly state: StateKept
}

/**
 * A collection whose definition is not at hand: takes any JSON object. Its key is a property, text as it is and whole
 * numbers as their digits.
 */
export function passthroughCollection(
  name: string,
  { key, schemaVersion, state }: PassthroughOptions,
): AnyCollection {
  return defineCollection(name, {
    schema: {
      '~standard': {
        version: 1,
        vendor: 'headwater',
        validate: (value: unknown) =>
          isObject(value) ? { value } : { issues: [{ message: 'it must be a JSON object' }] },
      },
    },
    key: (value) => keyIn(value as Readonly<Record<string, unknown>>, key),
    schemaVersion,
    state,
  })
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function keyIn(value: Readonly<Record<string, unknown>>, property: string): string {
  const key = Object.hasOwn(value, property) ? value[property] : undefined
  if (typeof key === 'string') return key
  if (Number.isSafeInteger(key)) return String(key)
  throw new Error(
    `property ${JSON.stringify(property)} holds no text and no whole number; --key names the property with the key`,
  )
}
