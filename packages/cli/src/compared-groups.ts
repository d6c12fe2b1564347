import { connect, type AnySink, type Log } from '@headwater/core'
import { CliError } from './cli-error.ts'
import type { Config } from './config.ts'
import { groupsOf } from './config-groups.ts'
import { didYouMean } from './did-you-mean.ts'
import type { GlobalOptions } from './invocation.ts'
import { configOf, settingsOf } from './settings.ts'

/** A log with the sinks of its groups, to be compared; disposing of it closes them. */
export interface ComparedGroups extends AsyncDisposable {
  readonly log: Log
  readonly groups: readonly { readonly group: string; readonly sink: AnySink }[]
}

/**
 * Opens the groups of a config file, all of them or those that are named. Creates nothing.
 *
 * @throws CliError USAGE, CONFIG_INVALID
 */
export async function openGroups(options: GlobalOptions, names: readonly string[]): Promise<ComparedGroups> {
  const config = await configOf(options)
  if (!config) {
    throw new CliError('USAGE', 'Which sinks? Give --config, or call this where a headwater.config.ts is.')
  }
  const { redis, namespace } = await settingsOf(options, config)
  const sinks = await sinksOf(config)
  const named = groupsNamed(sinks, names)
  const { collections, deadlineMs, attemptMs } = config
  const log = await connect(redis, { namespace, collections, deadlineMs, attemptMs, create: false })
  const groups = [...(names.length === 0 ? sinks : named)].map(([group, sink]) => ({ group, sink }))
  return {
    log,
    groups,
    async [Symbol.asyncDispose]() {
      await Promise.all([...sinks.values()].map((sink) => sink.close()))
      await log.close()
    },
  }
}

/** @throws CliError USAGE for a name that is no group's */
export function groupsNamed(
  sinks: ReadonlyMap<string, AnySink>,
  names: readonly string[],
): Map<string, AnySink> {
  const unknown = names.find((name) => !sinks.has(name))
  if (unknown === undefined) return new Map([...sinks].filter(([name]) => names.includes(name)))
  const known = [...sinks.keys()]
  throw new CliError(
    'USAGE',
    `The config file has no group ${JSON.stringify(unknown)}; it has ${known.join(', ') || 'none'}.${didYouMean(unknown, known)}`,
  )
}

/** The sinks of a config file by group: here the clients that they need are opened. */
export async function sinksOf(config: Config): Promise<Map<string, AnySink>> {
  const made = await groupsOf(config)
  if (!made) throw new CliError('CONFIG_INVALID', 'The config file has no groups, so there are no sinks.')
  return new Map(Object.entries(made).map(([name, group]) => [name, 'sink' in group ? group.sink : group]))
}

/** What programs go by: 0 all equal, 1 something differs, 2 could not tell. */
export function exitCodeOf(results: readonly ('equal' | 'different' | 'undecided')[]): 0 | 1 | 2 {
  if (results.includes('different')) return 1
  return results.includes('undecided') ? 2 : 0
}
