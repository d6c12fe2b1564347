import { canonicalJson } from '../change/canonical-json.ts'
import type { Node, NodeRow } from './node.ts'
import { checkQuorums, weightOf, type Quorums } from './quorum.ts'
import { mergeVersions, noVersions, type Versions } from './versions.ts'

export interface RoundOptions {
  readonly quorums: Quorums
  readonly signal?: AbortSignal
  /** Called as the round goes on: keys of this step that are done, of how many. */
  readonly onProgress?: (step: RoundStep, done: number, total: number) => void
}

/** The five steps; transfer and compare happen together. */
export type RoundStep = 'acquire' | 'compare' | 'elect' | 'synchronise'

export interface RoundReport {
  /** Keys that not all reachable nodes held alike. */
  readonly different: number
  /** Of these, held by now with the weight of a write quorum. */
  readonly acknowledged: number
  /** Of these, not yet: nodes were lost, or wrote meanwhile. The next round looks again. */
  readonly open: readonly string[]
  /** Rows that were written, over all nodes. */
  readonly written: number
  /** Nodes that did not answer; the next round catches them up. */
  readonly unreachable: readonly string[]
  /** Whether so many nodes answered that something could be elected at all. */
  readonly quorum: boolean
}

const keysAtOnce = 200
const attemptsMax = 5

/**
 * Brings nodes together, once: acquires what each holds by fingerprint, compares, reads the keys that differ, elects by
 * merging, writes by compare-and-set where something else is held, and counts the weight that acknowledged. It keeps no
 * notes: whoever comes after a coordinator that died begins a new round, which finds done what was done.
 *
 * @throws HeadwaterError OPTION_INVALID
 */
export async function syncRound(nodes: readonly Node[], options: RoundOptions): Promise<RoundReport> {
  checkQuorums(options.quorums)
  return await new Round(nodes, options).run()
}

class Round {
  readonly #options: RoundOptions
  readonly #reachable: Set<Node>
  readonly #unreachable: string[] = []
  #written = 0

  constructor(nodes: readonly Node[], options: RoundOptions) {
    this.#reachable = new Set(nodes)
    this.#options = options
  }

  async run(): Promise<RoundReport> {
    const different = await this.#compare()
    const acknowledged = new Set<string>()
    for (let from = 0; from < different.length && this.#hasReadQuorum(); from += keysAtOnce) {
      this.#options.signal?.throwIfAborted()
      const some = different.slice(from, from + keysAtOnce)
      for (const key of await this.#bringTogether(some)) acknowledged.add(key)
      this.#options.onProgress?.('synchronise', from + some.length, different.length)
    }
    return {
      different: different.length,
      acknowledged: acknowledged.size,
      open: different.filter((key) => !acknowledged.has(key)),
      written: this.#written,
      unreachable: this.#unreachable,
      quorum: this.#hasReadQuorum(),
    }
  }

  /** Acquires all fingerprints, and gives the keys that are not the same everywhere. */
  async #compare(): Promise<string[]> {
    const holders = new Map<string, { readonly mark: string; count: number; alike: boolean }>()
    let listed = 0
    for (const node of this.#reachable) {
      const marks = await this.#ask(node, async () => {
        const all = new Map<string, string>()
        for await (const { key, mark } of node.list()) all.set(key, mark)
        return all
      })
      for (const [key, mark] of marks ?? []) {
        const held = holders.get(key)
        if (held) {
          held.count++
          held.alike &&= held.mark === mark
        } else {
          holders.set(key, { mark, count: 1, alike: true })
        }
      }
      this.#options.onProgress?.('acquire', ++listed, this.#reachable.size)
    }
    const nodes = this.#reachable.size
    const different = [...holders].filter(([, { count, alike }]) => count < nodes || !alike)
    this.#options.onProgress?.('compare', different.length, holders.size)
    return different.map(([key]) => key)
  }

  /** Elects and writes until the nodes hold the same, or it is enough for one round. Gives the keys that were acknowledged. */
  async #bringTogether(keys: readonly string[]): Promise<ReadonlySet<string>> {
    const done = new Set<string>()
    let open = keys
    for (let attempt = 0; attempt < attemptsMax && open.length > 0; attempt++) {
      const rows = new Map<Node, readonly (NodeRow | undefined)[]>()
      for (const node of this.#reachable) {
        const read = await this.#ask(node, () => node.read(open))
        if (read) rows.set(node, read)
      }
      // What was read from fewer may lack a value that was acknowledged.
      if (!this.#hasReadQuorum()) return done
      this.#options.onProgress?.('elect', open.length, open.length)
      const again: string[] = []
      for (const [index, key] of open.entries()) {
        const held = new Map([...rows].map(([node, of]) => [node, of[index]]))
        const outcome = await this.#synchronise(key, held)
        if (outcome === 'acknowledged') done.add(key)
        else if (outcome === 'changed') again.push(key)
      }
      open = again
    }
    return done
  }

  async #synchronise(
    key: string,
    held: ReadonlyMap<Node, NodeRow | undefined>,
  ): Promise<'acknowledged' | 'changed' | 'open'> {
    const elected = [...held.values()]
      .map((row) => row?.versions ?? noVersions)
      .reduce<Versions<unknown>>(mergeVersions, noVersions)
    const text = canonicalJson(elected)
    const holding: string[] = []
    let changed = false
    for (const [node, row] of held) {
      if (row && canonicalJson(row.versions) === text) {
        holding.push(node.name)
        continue
      }
      const answer = await this.#ask(node, () => node.write(key, row?.mark, elected))
      if (answer === 'written') {
        this.#written++
        holding.push(node.name)
      } else if (answer === 'changed') {
        changed = true
      }
    }
    if (changed) return 'changed'
    const { quorums } = this.#options
    return weightOf(holding, quorums) >= quorums.write ? 'acknowledged' : 'open'
  }

  #hasReadQuorum(): boolean {
    const { quorums } = this.#options
    const names = [...this.#reachable].map(({ name }) => name)
    return weightOf(names, quorums) >= quorums.read
  }

  /** A node that fails is left out for the rest of the round. */
  async #ask<R>(node: Node, call: () => Promise<R>): Promise<R | undefined> {
    if (!this.#reachable.has(node)) return undefined
    try {
      return await call()
    } catch {
      this.#reachable.delete(node)
      this.#unreachable.push(node.name)
      return undefined
    }
  }
}
