import { canonicalJson } from '../change/canonical-json.ts'
import { compareStamps } from '../change/stamp.ts'
import type { Collection } from '../collection/collection.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { Log } from '../namespace/log.ts'
import { pause } from '../redis/persist.ts'
import type { AnySink } from '../sink/sink.ts'
import { isSameValue } from '../verify/content.ts'
import { StepShare } from '../verify/step-share.ts'
import type { Node, NodeRow } from './node.ts'
import { joinContexts, noVersions, type Context, type Versions } from './versions.ts'
import { winnerOf, type ElectionRules } from './winner.ts'

/** What a log keeps of a collection, as one of two sides. */
export interface LogState<T = unknown> {
  readonly log: Log
  readonly collection: Collection<T>
}

export interface CompareNodeOptions<T = unknown> {
  /** How the value of a node's key is elected; of two nodes nothing is. Default: the latest, then by site. */
  readonly rules?: ElectionRules<T>
  /** How long to wait for what is on its way, in ms. Default 10,000. */
  readonly timeoutMs?: number
  /** Differences listed at most; all are counted. Default 1,000. */
  readonly listed?: number
  readonly signal?: AbortSignal
  /** As for `compareSinks`. */
  readonly onProgress?: (checked: number, share: number) => void
}

/**
 * How a node and what it is compared with differ in a key.
 *
 * - `content`: not the same value; of two nodes that have seen the same, not the same versions
 * - `first-older`, `second-older`: that node still had not seen what the other had seen at the first look
 * - `apart`: each of two nodes has seen what the other has not
 */
export type NodeVerdict = 'content' | 'first-older' | 'second-older' | 'apart'

export interface NodeComparison {
  /** `undecided`: nothing differs, but some keys changed between all looks, so they were never caught at rest. */
  readonly result: 'equal' | 'different' | 'undecided'
  readonly equal: boolean
  readonly counts: Readonly<Record<NodeVerdict, number>>
  readonly differences: readonly { readonly key: string; readonly verdict: NodeVerdict }[]
  readonly undecided: number
}

const keysAtOnce = 500
const betweenLooksMs = 50

type Finding = NodeVerdict | 'undecided'
type LookOptions = Omit<CompareNodeOptions, 'rules' | 'onProgress'> & { readonly progress: ListProgress }

/**
 * Compares two nodes by what they have seen, and a node with a sink or with a log's state by the elected values, key by key
 * while all of them are written: what differs is looked at again until it agrees or the time is over.
 *
 * @throws HeadwaterError SINK_CONTRACT where a sink can neither list nor read
 */
export async function compareNode<T>(
  first: Node | AnySink | LogState<T>,
  second: Node | AnySink | LogState<T>,
  options: CompareNodeOptions<T> = {},
): Promise<NodeComparison> {
  const { listed = 1_000 } = options
  const counts: Record<NodeVerdict, number> = { content: 0, 'first-older': 0, 'second-older': 0, apart: 0 }
  const differences: NodeComparison['differences'][number][] = []
  let undecided = 0
  const progress = new ListProgress(options.onProgress)
  const looking = { ...options, progress }
  const found =
    isNode(first) && isNode(second)
      ? compareVersions(first, second, looking)
      : compareValues(sideOf(first, options), sideOf(second, options), looking)
  for await (const [key, finding] of found) {
    if (finding === 'undecided') {
      undecided++
      continue
    }
    counts[finding]++
    if (differences.length < listed) differences.push({ key, verdict: finding })
  }
  progress.end()
  const isDifferent = Object.values(counts).some((count) => count > 0)
  const result = isDifferent ? 'different' : undecided > 0 ? 'undecided' : 'equal'
  return { result, equal: result === 'equal', counts, differences, undecided }
}

/** One side is listed after the other, and then those keys are looked at again that seem to differ. */
class ListProgress {
  readonly #steps: StepShare
  #checked = 0
  #expected = 0
  #listed = 0

  constructor(onProgress: CompareNodeOptions['onProgress'] = () => {}) {
    this.#steps = new StepShare((share) => onProgress(this.#checked, share))
  }

  /** @param expected keys on this side, where that is known; else as many as on the other */
  list(side: 'first' | 'second', expected = this.#listed): void {
    this.#expected = expected
    this.#listed = 0
    this.#steps.begin(side === 'first' ? 3 : 2)
  }

  listed(): void {
    this.#listed++
    this.#checked = Math.max(this.#checked, this.#listed)
    if (this.#listed % keysAtOnce === 0)
      this.#steps.within(this.#expected === 0 ? 0 : this.#listed / this.#expected)
  }

  lookAgain(): void {
    this.#steps.begin(1)
  }

  end(): void {
    this.#steps.within(1)
  }
}

export function isNode(side: object): side is Node {
  return 'write' in side && 'list' in side && !('capabilities' in side)
}

/** Looks at keys again and again until none is open, or the time is over. */
async function* lookAgain<Seen>(
  suspects: Map<string, Seen>,
  { timeoutMs = 10_000, signal, progress }: LookOptions,
  look: (
    keys: readonly string[],
    seen: (key: string) => Seen,
    last: boolean,
  ) => Promise<{ readonly open: ReadonlyMap<string, Seen>; readonly found: ReadonlyMap<string, Finding> }>,
): AsyncGenerator<readonly [key: string, finding: Finding], void, undefined> {
  const endsAt = performance.now() + timeoutMs
  progress.lookAgain()
  let open = suspects
  while (open.size > 0) {
    const last = performance.now() >= endsAt
    const stillOpen = new Map<string, Seen>()
    for (const keys of pagesOf([...open.keys()])) {
      signal?.throwIfAborted()
      const looked = await look(keys, (key) => open.get(key)!, last)
      for (const [key, seen] of looked.open) stillOpen.set(key, seen)
      yield* looked.found
    }
    if (last) return
    open = stillOpen
    if (open.size > 0) await pause(betweenLooksMs, signal)
  }
}

async function* compareVersions(
  first: Node,
  second: Node,
  options: LookOptions,
): AsyncGenerator<readonly [string, Finding], void, undefined> {
  const marks = new Map<string, string>()
  options.progress.list('first')
  for await (const { key, mark } of first.list()) {
    marks.set(key, mark)
    options.progress.listed()
  }
  const suspects = new Map<string, Context | undefined>()
  options.progress.list('second')
  for await (const { key, mark } of second.list()) {
    options.progress.listed()
    if (marks.get(key) !== mark) suspects.set(key, undefined)
    marks.delete(key)
  }
  for (const key of marks.keys()) suspects.set(key, undefined)
  yield* lookAgain(suspects, options, async (keys, dueOf, last) => {
    const [ours, theirs] = await Promise.all([first.read(keys), second.read(keys)])
    const open = new Map<string, Context | undefined>()
    const found = new Map<string, Finding>()
    for (const [at, key] of keys.entries()) {
      const [one, other] = [ours[at], theirs[at]]
      if (one?.mark === other?.mark) continue
      const [seen, alsoSeen] = [seenOf(one), seenOf(other)]
      if (canonicalJson(seen) === canonicalJson(alsoSeen)) {
        found.set(key, 'content')
        continue
      }
      const due = dueOf(key) ?? joinContexts(seen, alsoSeen)
      const [isThere, isAlsoThere] = [hasReached(seen, due), hasReached(alsoSeen, due)]
      // Where it is written all the time, one of them is always ahead.
      if (isThere && isAlsoThere) continue
      if (!last) open.set(key, due)
      else found.set(key, isThere ? 'second-older' : isAlsoThere ? 'first-older' : 'apart')
    }
    return { open, found }
  })
}

function seenOf(row: NodeRow | undefined): Context {
  return (row?.versions ?? noVersions).seen
}

function hasReached(seen: Context, due: Context): boolean {
  return Object.entries(due).every(([site, stamp]) => {
    const held = Object.hasOwn(seen, site) ? seen[site] : undefined
    return held !== undefined && compareStamps(held, stamp) >= 0
  })
}

/** A side as values. */
interface Side {
  /** How many keys it has, where that can be told beforehand. */
  count?(): Promise<number>
  keys(): AsyncIterable<string>
  /** Undefined for a key that is deleted or unknown. */
  read(keys: readonly string[]): Promise<readonly unknown[]>
}

async function* compareValues(
  first: Side,
  second: Side,
  options: LookOptions,
): AsyncGenerator<readonly [string, Finding], void, undefined> {
  type Pair = readonly [unknown, unknown]
  const differing = async (keys: readonly string[]): Promise<Map<string, Pair>> => {
    const [ours, theirs] = await Promise.all([first.read(keys), second.read(keys)])
    const pairs = keys.map((key, at): readonly [string, Pair] => [key, [ours[at], theirs[at]]])
    return new Map(pairs.filter(([, [one, other]]) => !isSameValue(one, other)))
  }
  const suspects = new Map<string, Pair>()
  const looked = new Set<string>()
  for (const [name, side] of Object.entries({ first, second })) {
    options.progress.list(name as 'first' | 'second', await side.count?.())
    let page: string[] = []
    const compare = async (): Promise<void> => {
      options.signal?.throwIfAborted()
      for (const [key, pair] of await differing(page)) suspects.set(key, pair)
      page = []
    }
    for await (const key of side.keys()) {
      options.progress.listed()
      if (looked.has(key)) continue
      looked.add(key)
      page.push(key)
      if (page.length === keysAtOnce) await compare()
    }
    if (page.length > 0) await compare()
  }
  yield* lookAgain(suspects, options, async (keys, before, last) => {
    const open = await differing(keys)
    if (!last) return { open, found: new Map<string, Finding>() }
    const atRest = ([key, [one, other]]: readonly [string, Pair]): readonly [string, Finding] => {
      const [earlier, alsoEarlier] = before(key)
      return [key, isSameValue(one, earlier) && isSameValue(other, alsoEarlier) ? 'content' : 'undecided']
    }
    return { open: new Map<string, Pair>(), found: new Map([...open].map(atRest)) }
  })
}

function sideOf<T>(of: Node | AnySink | LogState<T>, { rules }: CompareNodeOptions<T>): Side {
  if (isNode(of)) {
    const electing = rules ?? { weights: {} }
    return {
      async *keys() {
        for await (const { key } of of.list()) yield key
      },
      async read(keys) {
        const rows = await of.read(keys)
        return rows.map((row) => row && winnerOf(row.versions as Versions<T>, electing))
      },
    }
  }
  if ('log' in of) {
    const { log, collection } = of
    return {
      count: () => log.count(collection),
      async *keys() {
        for await (const { key } of log.entities(collection)) yield key
      },
      read: async (keys) => (await log.getMany(collection, keys)).map((entity) => entity?.value),
    }
  }
  if (!of.list || !of.read) {
    throw new HeadwaterError(
      'SINK_CONTRACT',
      `The ${of.name} cannot be compared: it declares neither list nor read.`,
    )
  }
  return {
    async *keys() {
      for await (const { key, deleted } of of.list!()) if (!deleted) yield key
    },
    read: async (keys) => (await of.read!(keys)).map((row) => row?.value),
  }
}

function* pagesOf(keys: readonly string[]): Generator<readonly string[]> {
  for (let from = 0; from < keys.length; from += keysAtOnce) yield keys.slice(from, from + keysAtOnce)
}
