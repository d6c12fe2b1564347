import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  compareStamps,
  parsePosition,
  type AnyCollection,
  type Change,
  type Log,
  type Position,
} from '@headwater/core'
import { CliError } from './cli-error.ts'

interface Row {
  readonly key: string
  readonly position: Position
  readonly value: unknown
}

/**
 * A collection as it was at one position of each partition. The entities are read while others write, so what changed
 * between the beginning and the end of the reading is taken from the log instead. Rows wait in a file, and only the changes
 * of that time are in memory.
 */
export class CollectionCopy implements AsyncDisposable {
  /** As of where the copy is, partition by partition. */
  readonly positions: readonly Position[]
  /** Names of members, in the order in which they first appear. */
  readonly members: ReadonlySet<string>
  readonly #collection: AnyCollection
  readonly #folder: string
  readonly #rows: FileHandle
  readonly #changes: ReadonlyMap<string, readonly Change[]>

  private constructor(parts: {
    positions: readonly Position[]
    members: ReadonlySet<string>
    collection: AnyCollection
    folder: string
    rows: FileHandle
    changes: ReadonlyMap<string, readonly Change[]>
  }) {
    this.positions = parts.positions
    this.members = parts.members
    this.#collection = parts.collection
    this.#folder = parts.folder
    this.#rows = parts.rows
    this.#changes = parts.changes
  }

  /**
   * @throws HeadwaterError STATE_REQUIRED; LOG_DAMAGED where what changed meanwhile was trimmed already
   * @throws CliError FILE_UNWRITABLE
   */
  static async take(
    log: Log,
    collection: AnyCollection,
    onRead: (rows: number) => void,
    signal: AbortSignal,
  ): Promise<CollectionCopy> {
    const folder = await mkdtemp(join(tmpdir(), 'headwater-export-')).catch(noFolder)
    const rows = await open(join(folder, 'rows'), 'w+')
    try {
      const members = new Set<string>()
      const beginnings = await endsOf(log)
      let count = 0
      for await (const { key, position, value } of log.entities(collection, { signal })) {
        const row: Row = { key, position, value: value as unknown }
        noteMembers(members, row.value)
        await rows.write(`${JSON.stringify(row)}\n`)
        onRead(++count)
      }
      const positions = await endsOf(log)
      const changes = await changesBetween(log, collection, beginnings, positions)
      for (const of of changes.values()) for (const { value } of of) noteMembers(members, value)
      return new CollectionCopy({ positions, members, collection, folder, rows, changes })
    } catch (error) {
      await rows.close()
      await rm(folder, { recursive: true })
      throw error
    }
  }

  /** The values, in no order. */
  async *values(): AsyncGenerator {
    const left = new Map(this.#changes)
    for await (const line of this.#rows.readLines({ start: 0, autoClose: false })) {
      const row = JSON.parse(line) as Row
      const changes = left.get(row.key) ?? []
      left.delete(row.key)
      const value = this.#after(row, changes)
      if (value !== undefined) yield value
    }
    for (const changes of left.values()) {
      const value = this.#after(undefined, changes)
      if (value !== undefined) yield value
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rows.close()
    await rm(this.#folder, { recursive: true })
  }

  /** What a value became by later changes; undefined where it was deleted. */
  #after(row: Row | undefined, changes: readonly Change[]): unknown {
    const { decides } = this.#collection
    const at = row && parsePosition(row.position)
    let value = row?.value
    for (const change of changes) {
      if (at && compareStamps(change.stamp, at) <= 0) continue
      if (change.kind === 'delete') value = undefined
      else if (change.kind === 'event' && decides)
        value = decides.evolve(value ?? decides.initial(), change.value)
      else value = change.value
    }
    return value
  }
}

function noFolder(cause: Error): never {
  throw new CliError(
    'FILE_UNWRITABLE',
    `Rows wait in a temporary folder, and none can be made: ${cause.message}. TMPDIR says where.`,
    { cause },
  )
}

function endsOf(log: Log): Promise<Position[]> {
  return Promise.all(Array.from({ length: log.partitions }, (_, partition) => log.end(partition)))
}

/** By key, in order. Of values the last change is enough. */
async function changesBetween(
  log: Log,
  collection: AnyCollection,
  from: readonly Position[],
  to: readonly Position[],
): Promise<Map<string, Change[]>> {
  const changes = new Map<string, Change[]>()
  for (const [partition, beginning] of from.entries()) {
    const end = parsePosition(to[partition]!)
    for await (const change of log.read(partition, beginning)) {
      if (compareStamps(change.stamp, end) > 0) break
      if (change.collection !== collection.name) continue
      const before = change.kind === 'event' ? (changes.get(change.key) ?? []) : []
      changes.set(change.key, [...before, change])
    }
  }
  return changes
}

function noteMembers(members: Set<string>, value: unknown): void {
  if (typeof value === 'object' && value !== null) for (const name of Object.keys(value)) members.add(name)
}
