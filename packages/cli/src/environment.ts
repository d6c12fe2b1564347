import { CliError } from './cli-error.ts'

/**
 * An environment variable as it is set, also to nothing; undefined where it is not.
 *
 * @throws CliError USAGE where it says `undefined` or `null`: a script wrote down what it did not have. Taken for a name, a
 * namespace of that name would be worked on; taken for a token, anybody could guess it
 */
export function environment(name: string): string | undefined {
  const value = process.env[name]
  if (value === undefined || !/^\s*(undefined|null)\s*$/.test(value)) return value
  throw new CliError(
    'USAGE',
    `The environment variable ${name} is ${JSON.stringify(value)}: a script has put in what it did not have. Set it, or remove it.`,
  )
}
