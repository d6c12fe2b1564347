import {
  compareNode,
  compareSinks,
  connect,
  nodeSets,
  winnerOf,
  type AnySink,
  type Collection,
  type CompareReport,
  type ElectionRules,
  type Log,
  type LogState,
  type Node,
  type NodeComparison,
} from '@headwater/core'
import { CliError } from './cli-error.ts'
import { groupsNamed, sinksOf } from './compared-groups.ts'
import type { Config } from './config.ts'
import type { GlobalOptions } from './invocation.ts'
import { configOf, settingsOf } from './settings.ts'

type Side = AnySink | Node | LogState

interface CompareSidesOptions {
  readonly timeoutMs?: number
  readonly listed: number
  readonly onProgress: (checked: number, share: number) => void
}

/** Two of: a group's sink, a node of a set, the log. Disposing of it closes what was opened. */
export interface ComparedSides extends AsyncDisposable {
  compare(options: CompareSidesOptions): Promise<CompareReport | NodeComparison>
  /** What each of them holds of a key; null where there is nothing. */
  valuesOf(key: string): Promise<readonly [unknown, unknown]>
}

/** A node is named by its set and itself, as `books/one`; no group's name has a slash. */
export function isNodeName(name: string): boolean {
  return name.includes('/')
}

/**
 * Opens two sides by name: that of a group for its sink, `<set>/<node>`, or `log` beside a node. Creates nothing.
 *
 * @param collectionName of the log's state, where the config has several
 * @throws CliError USAGE, CONFIG_INVALID
 */
export async function openSides(
  options: GlobalOptions,
  names: readonly [string, string],
  collectionName?: string,
): Promise<ComparedSides> {
  const config = await configOf(options)
  if (!config)
    throw new CliError('USAGE', 'Which sides? Give --config, or call this where a headwater.config.ts is.')
  const { redis, namespace } = await settingsOf(options, config)
  const { deadlineMs, attemptMs } = config
  // A log without nodes knows no sets of them.
  const sets = names.some(isNodeName) ? [nodeSets] : []
  const collections = [...new Set([...(config.collections ?? []), ...sets])]
  const groups = names.filter((name) => !isNodeName(name) && name !== 'log')
  const sinks = groups.length > 0 ? await sinksOf(config) : new Map<string, AnySink>()
  const log = await connect(redis, { namespace, collections, deadlineMs, attemptMs, create: false })
  const close = async (): Promise<void> => {
    await Promise.all([...sinks.values()].map((sink) => sink.close()))
    await log.close()
  }
  try {
    const named = groupsNamed(sinks, groups)
    const sideOf = async (name: string): Promise<Side> => {
      if (isNodeName(name)) return await nodeNamed(config, name)
      return named.get(name) ?? { log, collection: stateNamed(config, collectionName) }
    }
    const sides = [await sideOf(names[0]), await sideOf(names[1])] as const
    const rules = { weights: await weightsOf(log, names) }
    return {
      async compare(given) {
        const [first, second] = sides
        if (isSink(first) && isSink(second)) return await compareSinks(first, second, given)
        return await compareNode(first, second, { ...given, rules })
      },
      valuesOf: (key) => Promise.all([valueOf(sides[0], key, rules), valueOf(sides[1], key, rules)]),
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** What a comparison of two sides came to. */
export function resultOf(report: CompareReport | NodeComparison): NodeComparison['result'] {
  if ('result' in report) return report.result
  return report.equal ? 'equal' : 'different'
}

function isSink(side: Side): side is AnySink {
  return 'capabilities' in side
}

async function nodeNamed(config: Config, name: string): Promise<Node> {
  const [set = '', wanted] = name.split('/')
  const nodes = (await config.nodeSets?.[set]?.()) ?? []
  const node = nodes.find((each) => each.name === wanted)
  if (node) return node
  const known = nodes.map((each) => `${set}/${each.name}`).join(', ') || 'no such set'
  throw new CliError('USAGE', `The config file has no node ${JSON.stringify(name)}; it has ${known}.`)
}

function stateNamed(config: Config, name: string | undefined): Collection {
  const states = (config.collections ?? []).filter((each) => each !== nodeSets && each.state === 'values')
  const found =
    name === undefined && states.length === 1 ? states[0] : states.find((each) => each.name === name)
  if (found) return found as Collection
  const known = states.map((each) => each.name).join(', ') || 'none'
  throw new CliError('USAGE', `Which collection of the log? Give --collection; the config file has ${known}.`)
}

/** As the log has them for the sets of the nodes. */
async function weightsOf(log: Log, names: readonly string[]): Promise<ElectionRules<unknown>['weights']> {
  const sets = new Set(names.filter(isNodeName).map((name) => name.split('/')[0]!))
  if (sets.size === 0) return {}
  const entities = await log.getMany(nodeSets, [...sets])
  return Object.assign({}, ...entities.map((entity) => entity?.value.weights)) as Record<string, number>
}

async function valueOf(side: Side, key: string, rules: ElectionRules<unknown>): Promise<unknown> {
  if ('log' in side) return (await side.log.get(side.collection, key))?.value ?? null
  if (isSink(side)) return (await side.read?.([key]))?.[0]?.value ?? null
  const [row] = await side.read([key])
  return (row && winnerOf(row.versions, rules)) ?? null
}
