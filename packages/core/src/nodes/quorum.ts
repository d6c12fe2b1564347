import { HeadwaterError } from '../errors/headwater-error.ts'

/** How many votes it takes, of nodes of different weight. A node of weight 0 observes: it follows, and is not waited for. */
export interface Quorums {
  /** By node: whole numbers from 0. */
  readonly weights: Readonly<Record<string, number>>
  /** Weight of the nodes that must have been read before anything is elected. */
  readonly read: number
  /** Weight of the nodes that must hold what was elected before it counts as acknowledged. */
  readonly write: number
}

/**
 * Checks that every read meets every acknowledged write, and that no two writes can be acknowledged apart.
 *
 * @throws HeadwaterError OPTION_INVALID
 */
export function checkQuorums({ weights, read, write }: Quorums): void {
  for (const [node, weight] of Object.entries(weights)) {
    if (!Number.isSafeInteger(weight) || weight < 0) {
      invalid(`weight ${String(weight)} of node ${JSON.stringify(node)} must be a whole number from 0.`)
    }
  }
  const total = weightOf(Object.keys(weights), { weights })
  for (const [name, needed] of Object.entries({ read, write })) {
    if (!Number.isSafeInteger(needed) || needed < 1 || needed > total) {
      invalid(`${name} ${String(needed)} must be from 1 to ${total}, the weight of all nodes.`)
    }
  }
  if (read + write <= total) invalid(`read ${read} and write ${write} must together be more than ${total}.`)
  if (2 * write <= total) invalid(`write ${write} must be more than half of ${total}.`)
}

/** The weight of some nodes, each counted once. */
export function weightOf(nodes: Iterable<string>, { weights }: Pick<Quorums, 'weights'>): number {
  let sum = 0
  for (const node of new Set(nodes)) sum += Object.hasOwn(weights, node) ? weights[node]! : 0
  return sum
}

function invalid(what: string): never {
  throw new HeadwaterError('OPTION_INVALID', `Quorums: ${what}`)
}
