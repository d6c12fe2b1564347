import { compareStamps } from '../change/stamp.ts'
import { parsePosition, type Position } from '../change/position.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import { pause } from '../redis/persist.ts'
import type { Node } from './node.ts'
import { checkQuorums, weightOf, type Quorums } from './quorum.ts'

export interface WhenHeldOptions {
  readonly quorums: Quorums
  /** Default 10,000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** For `log.whenApplied`: over which nodes. */
export interface WhenAppliedAtNodesOptions extends WhenHeldOptions {
  readonly nodes: readonly Node[]
  /** As whose site the nodes know this log. */
  readonly site: string
  /** Of the change at the position. */
  readonly key: string
}

const pollMs = 20

/**
 * Waits until nodes of the write quorum's weight hold what a site has appended at this position, or something that was
 * written in the knowledge of it. Resolves with their names.
 *
 * @throws HeadwaterError WAIT_TIMEOUT, OPTION_INVALID
 */
export async function whenHeld(
  nodes: readonly Node[],
  { site, key, position }: { readonly site: string; readonly key: string; readonly position: Position },
  { quorums, timeoutMs = 10_000, signal }: WhenHeldOptions,
): Promise<string[]> {
  checkQuorums(quorums)
  const stamp = parsePosition(position)
  const endsAt = performance.now() + timeoutMs
  const holding = new Set<string>()
  for (;;) {
    await Promise.all(
      nodes.map(async (node) => {
        if (holding.has(node.name)) return
        // One that cannot be asked now is asked again: it may come back in time.
        const [row] = await node.read([key]).catch(() => [])
        const seen = row?.versions.seen[site]
        if (seen && compareStamps(seen, stamp) >= 0) holding.add(node.name)
      }),
    )
    if (weightOf(holding, quorums) >= quorums.write) return [...holding]
    if (performance.now() >= endsAt) {
      const names = [...holding].join(', ') || 'none'
      throw new HeadwaterError(
        'WAIT_TIMEOUT',
        `Nodes of weight ${quorums.write} did not hold ${position} of site ${site} within ${timeoutMs} ms; ${names} did.`,
      )
    }
    await pause(pollMs, signal)
  }
}
