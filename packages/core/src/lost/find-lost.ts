import { locate, type Router } from '../append/prepare.ts'
import { formatPosition, type Position } from '../change/position.ts'
import type { Stamp } from '../change/stamp.ts'
import { isLost, readHeader, type Header } from '../log/header.ts'
import { missingHeader } from '../namespace/metadata.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { persist } from '../redis/persist.ts'
import type { AnySink } from '../sink/sink.ts'
import { KeyJudge, type JudgedKey } from '../verify/key-judge.ts'
import { checkComparable, groupFeeding } from '../verify/verify.ts'

/** A key of which a sink holds a change that the log has lost, and that nothing newer has replaced. */
export interface LostKey {
  readonly key: string
  /** Of the lost change, as it was acknowledged. */
  readonly position: Position
  /** Whether the lost change deleted the key. */
  readonly deleted: boolean
  /** What the sink holds; undefined for a delete. */
  readonly value: unknown
  /** What the log holds of the key; undefined where it does not know it. */
  readonly log: Stamp | undefined
}

/** Which changes a group's sink had seen, and are not in the log any more: as its worker noted it. */
export interface LostRange {
  readonly partition: number
  /** Such as `4-9 of epoch 1`: the sequences, and the epoch in which they were written. */
  readonly what: string
}

export interface LostReport {
  readonly group: string
  readonly ranges: readonly LostRange[]
  readonly keys: readonly LostKey[]
  /** Rows of the sink that were looked at. */
  readonly checked: number
}

export interface FindLostOptions {
  /** The group that feeds the sink. Default as for `verify`. */
  readonly group?: string
  readonly signal?: AbortSignal
  /** Called now and then with the rows looked at so far, and the share of the work that is done, at most 1. */
  readonly onProgress?: (checked: number, share: number) => void
}

const rowsAtOnce = 500

/**
 * Names what a failover or a restore has lost, as far as a sink had it: the keys whose row is of a history that the log did
 * not inherit. Safe while writes go on. `repair` with `foreign: 'remove'` takes the lost changes back at the sink; with
 * `foreign: 'adopt'` they enter the log again, and so come to every sink.
 *
 * @throws HeadwaterError SINK_CONTRACT where the sink can neither list nor read; GROUP_UNKNOWN, LOG_DAMAGED
 */
export async function findLost(log: Log, sink: AnySink, options: FindLostOptions = {}): Promise<LostReport> {
  const parts = logParts(log)
  checkComparable(parts, sink)
  const group = options.group ?? (await groupFeeding(parts, sink))
  return await new Search(parts, sink, group, options).run()
}

class Search {
  readonly #parts: LogParts
  readonly #sink: AnySink
  readonly #group: string
  readonly #options: FindLostOptions
  readonly #judge: KeyJudge
  readonly #router: Router

  constructor(parts: LogParts, sink: AnySink, group: string, options: FindLostOptions) {
    this.#parts = parts
    this.#sink = sink
    this.#group = group
    this.#options = options
    this.#judge = new KeyJudge(parts, sink, group, false)
    this.#router = this.#judge.router
  }

  async run(): Promise<LostReport> {
    const { signal, onProgress } = this.#options
    const ranges = await this.#ranges()
    const early = await this.#headers()
    const total = onProgress ? await this.#judge.heads.countAll(this.#sink.collection) : 0
    const suspects: string[] = []
    let checked = 0
    for await (const { key, stamp } of this.#sink.list!(signal ? { signal } : {})) {
      if (!hasSurvived(early[this.#partitionOf(key)]!, stamp)) suspects.push(key)
      checked++
      if (checked % rowsAtOnce === 0) onProgress?.(checked, Math.min(1, checked / total))
    }
    onProgress?.(checked, 1)
    const keys: LostKey[] = []
    for (let from = 0; from < suspects.length; from += rowsAtOnce) {
      signal?.throwIfAborted()
      keys.push(...(await this.#confirm(suspects.slice(from, from + rowsAtOnce))))
    }
    return { group: this.#group, ranges, keys, checked }
  }

  /** A row may just be newer than the header that was read before it. So rows are read again, and the headers after them. */
  async #confirm(keys: readonly string[]): Promise<LostKey[]> {
    const judged = await this.#judge.judge(keys)
    const headers = await this.#headers()
    return judged
      .filter(
        (each): each is JudgedKey & { sink: object } =>
          each.sink !== undefined &&
          each.verdict === 'foreign' &&
          !hasSurvived(headers[each.partition]!, each.sink.stamp),
      )
      .map(({ key, partition, sink, log }) => ({
        key,
        position: formatPosition(partition, sink.stamp),
        deleted: sink.deleted,
        value: sink.value,
        log: log?.stamp,
      }))
  }

  async #headers(): Promise<Header[]> {
    const { connection, keys, deadlineMs, namespace } = this.#parts
    return await Promise.all(
      keys.partitions.map(async (of, partition) => {
        const header = await readHeader(connection, of, deadlineMs)
        if (!header) throw missingHeader(namespace, partition)
        return header
      }),
    )
  }

  async #ranges(): Promise<LostRange[]> {
    const { connection, keys, deadlineMs } = this.#parts
    const options = { doing: `reading what the group ${this.#group} has lost`, deadlineMs }
    const noted = await persist(connection, options, (client) =>
      Promise.all(keys.partitions.map((of) => client.hget(of.group(this.#group), 'lost'))),
    )
    return noted.flatMap((what, partition) => (what === null ? [] : [{ partition, what }]))
  }

  #partitionOf(key: string): number {
    return locate(this.#router, this.#sink.collection, key).partition
  }
}

/** Whether a change of this stamp is in the log's history: trimmed perhaps, but not lost. */
function hasSurvived(header: Header, stamp: Stamp): boolean {
  return stamp.epoch <= header.epoch && !isLost(header, stamp)
}
