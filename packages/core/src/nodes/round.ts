import { canonicalJson } from '../change/canonical-json.ts'
import type { Node, NodeRow } from './node.ts'
import { checkQuorums, weightOf, type Quorums } from './quorum.ts'
import { mergeVersions, noVersions, type Versions } from './versions.ts'

export interface RoundOptions {
  readonly quorums: Quorums
  /** How long a node may take for one answer, in ms, before it counts as unreachable. Default 10,000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** Called as the round goes on. */
  readonly onProgress?: (progress: RoundProgress) => void
}

/**
 * - `acquire`: the fingerprints of all keys, node by node
 * - `compare`: which keys are not the same everywhere
 * - `transfer`: the rows of those keys
 * - `elect`: what every node shall hold of them
 * - `synchronise`: writes it where something else was read
 * - `acknowledge`: counts who holds it
 */
export type RoundStep = 'acquire' | 'compare' | 'transfer' | 'elect' | 'synchronise' | 'acknowledge'

/** How far one step is. */
export interface RoundProgress {
  readonly step: RoundStep
  /** Nodes of `acquire`, keys of every other step. */
  readonly done: number
  readonly total: number
  /** What the step has moved so far: keys, fingerprints and versions, without what protocols add. */
  readonly bytes: number
}

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
  /** Keys, fingerprints and versions that were moved, without what protocols add. */
  readonly bytes: number
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
  #different = 0
  readonly #done: Record<RoundStep, number>
  readonly #bytes: Record<RoundStep, number>

  constructor(nodes: readonly Node[], options: RoundOptions) {
    this.#reachable = new Set(nodes)
    this.#options = options
    const none = { acquire: 0, compare: 0, transfer: 0, elect: 0, synchronise: 0, acknowledge: 0 }
    this.#done = { ...none }
    this.#bytes = { ...none }
  }

  async run(): Promise<RoundReport> {
    const different = await this.#compare()
    this.#different = different.length
    const acknowledged = new Set<string>()
    for (let from = 0; from < different.length && this.#hasReadQuorum(); from += keysAtOnce) {
      this.#options.signal?.throwIfAborted()
      const some = different.slice(from, from + keysAtOnce)
      for (const key of await this.#bringTogether(some)) acknowledged.add(key)
    }
    return {
      different: different.length,
      acknowledged: acknowledged.size,
      open: different.filter((key) => !acknowledged.has(key)),
      written: this.#written,
      unreachable: this.#unreachable,
      bytes: Object.values(this.#bytes).reduce((sum, bytes) => sum + bytes, 0),
      quorum: this.#hasReadQuorum(),
    }
  }

  /** Acquires all fingerprints, and gives the keys that are not the same everywhere. */
  async #compare(): Promise<string[]> {
    const holders = new Map<string, { readonly mark: string; count: number; alike: boolean }>()
    const nodes = [...this.#reachable]
    for (const node of nodes) {
      const marks = await this.#marksOf(node)
      for (const [key, mark] of marks ?? []) {
        const held = holders.get(key)
        if (held) {
          held.count++
          held.alike &&= held.mark === mark
        } else {
          holders.set(key, { mark, count: 1, alike: true })
        }
        this.#bytes.acquire += Buffer.byteLength(key) + mark.length
      }
      this.#tell('acquire', 1, nodes.length)
    }
    const answered = this.#reachable.size
    const different = [...holders].filter(([, { count, alike }]) => count < answered || !alike)
    this.#tell('compare', holders.size, holders.size)
    return different.map(([key]) => key)
  }

  /** What arrived of a node that fails half-way is not used: a key that it did not come to would look missing. */
  async #marksOf(node: Node): Promise<Map<string, string> | undefined> {
    const marks = new Map<string, string>()
    const listing = node.list()[Symbol.asyncIterator]()
    for (;;) {
      const next = await this.#ask(node, () => listing.next())
      if (!next) return undefined
      if (next.done) return marks
      marks.set(next.value.key, next.value.mark)
    }
  }

  /** Elects and writes until the nodes hold the same, or it is enough for one round. Gives the keys that were acknowledged. */
  async #bringTogether(keys: readonly string[]): Promise<ReadonlySet<string>> {
    const acknowledged = new Set<string>()
    let open = keys
    for (let attempt = 0; attempt < attemptsMax && open.length > 0; attempt++) {
      const rows = new Map<Node, readonly (NodeRow | undefined)[]>()
      for (const node of this.#reachable) {
        const read = await this.#ask(node, () => node.read(open))
        if (!read) continue
        rows.set(node, read)
        for (const row of read) if (row) this.#bytes.transfer += sizeOf(canonicalJson(row.versions))
      }
      // What was read from fewer may lack a value that was acknowledged.
      if (!this.#hasReadQuorum()) return acknowledged
      const isFirst = attempt === 0
      this.#tell('transfer', isFirst ? open.length : 0, this.#different)
      const again: string[] = []
      for (const [index, key] of open.entries()) {
        const held = new Map([...rows].map(([node, of]) => [node, of[index]]))
        const outcome = await this.#synchronise(key, held)
        if (outcome === 'acknowledged') acknowledged.add(key)
        else if (outcome === 'changed') again.push(key)
      }
      for (const step of ['elect', 'synchronise'] as const) {
        this.#tell(step, isFirst ? open.length : 0, this.#different)
      }
      open = again
    }
    this.#tell('acknowledge', acknowledged.size, this.#different)
    return acknowledged
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
      if (answer !== undefined) this.#bytes.synchronise += sizeOf(key) + sizeOf(text)
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

  #tell(step: RoundStep, done: number, total: number): void {
    this.#done[step] += done
    this.#options.onProgress?.({ step, done: this.#done[step], total, bytes: this.#bytes[step] })
  }

  /** A node that fails, or does not answer, is left out for the rest of the round. */
  async #ask<R>(node: Node, call: () => Promise<R>): Promise<R | undefined> {
    if (!this.#reachable.has(node)) return undefined
    const { timeoutMs = 10_000 } = this.#options
    try {
      const answer = await inTime(call(), timeoutMs)
      if (answer !== late) return answer
    } catch {
      // Why is the node's own matter: the next round asks it again.
    }
    this.#reachable.delete(node)
    this.#unreachable.push(node.name)
    return undefined
  }
}

const late = Symbol('late')

async function inTime<R>(answer: Promise<R>, timeoutMs: number): Promise<R | typeof late> {
  let timer: NodeJS.Timeout | undefined
  const timeUp = new Promise<typeof late>((resolve) => {
    timer = setTimeout(() => resolve(late), timeoutMs)
  })
  answer.catch(() => {
    // Nobody may be waiting any more.
  })
  try {
    return await Promise.race([answer, timeUp])
  } finally {
    clearTimeout(timer)
  }
}

function sizeOf(text: string): number {
  return Buffer.byteLength(text)
}
