import { HeadwaterError } from '@headwater/core'

/** Gives each entity the name of its key at the replica. */
export interface DataKeys {
  /** For messages: the template, or what stands for a function. */
  readonly label: string
  /** Differs when the names differ: the template, or what a function makes of a sample. */
  readonly fingerprint: string
  /** @throws HeadwaterError SINK_REJECTED when there is no usable name for this entity */
  of(key: string): string
}

/** Where a template takes the entity's key. */
const placeholder = '{key}'

/** Where a template takes the number of the version, if there are several. */
const versionPlaceholder = '{version}'

/** A key template, with the version for those sinks that have several. */
export type KeyTemplate = string | ((key: string, version: number) => string)

/** @throws HeadwaterError OPTION_INVALID where two versions would have the same names */
export function templateOf(template: KeyTemplate, version: number): string | ((key: string) => string) {
  if (typeof template !== 'string') return (key) => template(key, version)
  if (template.split(versionPlaceholder).length === 2)
    return template.replace(versionPlaceholder, String(version))
  throw new HeadwaterError(
    'OPTION_INVALID',
    `The key template ${JSON.stringify(template)} must hold "{version}" once, as there is a pointer to the version.`,
  )
}

/**
 * @param template a text with one `{key}` in it, or a function
 * @param prefix of the bookkeeping, where no entity may go
 * @throws HeadwaterError OPTION_INVALID
 */
export function dataKeys(template: string | ((key: string) => string), prefix: string): DataKeys {
  const nameOf = typeof template === 'string' ? fillIn(template) : template
  if (typeof nameOf !== 'function') {
    throw new HeadwaterError(
      'OPTION_INVALID',
      'key must be a text such as "product:{key}", or a function of the key.',
    )
  }
  const of = (key: string): string => {
    const name = call(nameOf, key)
    if (typeof name !== 'string' || name === '' || !name.isWellFormed()) {
      throw rejected(key, `gives ${JSON.stringify(name)}, which is no name for a Redis key`)
    }
    if (name.startsWith(`${prefix}:`)) {
      throw rejected(
        key,
        `gives ${JSON.stringify(name)}, and such names are kept for the sink's own bookkeeping`,
      )
    }
    return name
  }
  return {
    label: typeof template === 'string' ? template : '<function>',
    fingerprint: fingerprintOf(template),
    of,
  }
}

function fillIn(template: string): (key: string) => string {
  const [before, after, more] = template.split(placeholder)
  if (before === undefined || after === undefined || more !== undefined) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `The key template ${JSON.stringify(template)} must hold "{key}" once.`,
    )
  }
  return (key) => `${before}${key}${after}`
}

function call(nameOf: (key: string) => unknown, key: string): unknown {
  try {
    return nameOf(key)
  } catch (error) {
    throw rejected(key, `threw ${String(error)}`, error)
  }
}

/** A function that takes only certain keys may refuse the sample; then another one cannot be told from it. */
function fingerprintOf(template: string | ((key: string) => string)): string {
  if (typeof template === 'string') return template
  try {
    return template('sample')
  } catch {
    return ''
  }
}

function rejected(key: string, what: string, cause?: unknown): HeadwaterError {
  return new HeadwaterError(
    'SINK_REJECTED',
    `For the entity ${JSON.stringify(key)} the option \`key\` ${what}.`,
    {
      cause,
    },
  )
}
