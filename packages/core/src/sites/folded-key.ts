import { canonicalJson } from '../change/canonical-json.ts'
import type { Change } from '../change/change.ts'
import type { Stamp } from '../change/stamp.ts'
import { compareHybridTimes, type HybridTime } from '../nodes/hybrid-clock.ts'
import { joinContexts, type Context, type Versions } from '../nodes/versions.ts'

/** Metadata of a change that is no write of this site, but what an election came to. */
export const electedMetadata = 'headwater-elected'

/** What an elected value stands for. */
export interface Elected {
  /** All that was seen when it was elected: whoever writes over it writes in the knowledge of that. */
  readonly seen: Context
  /** Of the latest version among what it was elected from. */
  readonly time: HybridTime
}

/** What the log of a site says of a key up to a change: in its order, whoever reads it, and however often. */
export interface FoldedKey extends Elected {
  /** The change up to which it was folded. */
  readonly at: Stamp
}

const nothing: Elected = { seen: {}, time: { ms: 0, counter: 0 } }

/** What a change makes of its key: and, where this site wrote it, what nodes are to hold of it. */
export function foldChange(
  site: string,
  before: FoldedKey | undefined,
  change: Change,
): { readonly folded: FoldedKey; readonly written: Versions<unknown> | undefined } {
  const { stamp: at, metadata } = change
  const elected = metadata[electedMetadata]
  if (elected !== undefined) {
    return { folded: { at, ...(JSON.parse(elected) as Elected) }, written: undefined }
  }
  const { seen, time: last } = before ?? nothing
  // The clock of the log's server, and after everything that the writer's log held of the key: the same at every reading.
  const now: HybridTime = { ms: change.time, counter: 0 }
  const time = compareHybridTimes(now, last) > 0 ? now : { ms: last.ms, counter: last.counter + 1 }
  const own = joinContexts(seen, { [site]: at })
  const version = { site, stamp: at, time, value: change.kind === 'delete' ? undefined : change.value }
  return { folded: { at, seen: own, time }, written: { versions: [version], seen: own } }
}

export function electedFrom({ versions, seen }: Versions<unknown>): Elected {
  const times = versions.map(({ time }) => time).toSorted(compareHybridTimes)
  return { seen, time: times.at(-1) ?? nothing.time }
}

export function formatFolded(folded: FoldedKey | Elected): string {
  return canonicalJson(folded)
}

export function parseFolded(text: string | null | undefined): FoldedKey | undefined {
  return text ? (JSON.parse(text) as FoldedKey) : undefined
}
