import { notes } from '@headwater/conformance'
import {
  VersionConflictError,
  type Expected,
  type HeadwaterError,
  type Log,
  type Position,
} from '@headwater/core'
import type { Random } from '../support/random.ts'
import type { Attempt, HistoryFile, Told } from './history-file.ts'

export interface WriterOptions {
  readonly log: Log
  /** Begins the ids of its attempts, so no two writers share one. */
  readonly name: string
  readonly random: Random
  readonly history: HistoryFile
  /** Appends at a time. */
  readonly lanes: number
  readonly signal: AbortSignal
  /** Told of each acknowledgment, with the time at which its append was begun. */
  readonly onAcknowledged?: (position: Position, begunAt: number) => void
}

const keys = Array.from({ length: 64 }, (_, at) => `note-${at}`)

/** After these an append may be in the log, or is there without being as safe as it was asked to be. */
const undecided: ReadonlySet<string> = new Set(['OUTCOME_UNKNOWN', 'DURABILITY_NOT_REACHED'])

/** Appends at random until its signal aborts, and writes down what it tries and what it is told. */
export class Writer {
  readonly #options: WriterOptions
  /** The versions it was told last, to expect them. */
  readonly #versions = new Map<string, string>()
  #count = 0

  constructor(options: WriterOptions) {
    this.#options = options
  }

  /** Settles when the signal has aborted and every attempt was told of, or given up. */
  async run(): Promise<void> {
    const { signal, history, lanes } = this.#options
    // A predecessor was killed in the middle of these.
    const open = history.read().filter(({ told }) => told.length === 0)
    this.#count = history.read().length
    await Promise.all(
      open.filter(({ attempt }) => attempt.repeatable).map(({ attempt }) => this.#append(attempt)),
    )
    await Promise.all(
      Array.from({ length: lanes }, async () => {
        while (!signal.aborted) await this.#one()
      }),
    )
  }

  async #one(): Promise<void> {
    const { name, random, history } = this.#options
    const key = random.pick(keys)
    const known = this.#versions.get(random.chance(0.9) ? key : random.pick(keys))
    const attempt: Attempt = {
      id: `${name}-${++this.#count}`,
      key,
      kind: random.chance(0.85) ? 'put' : 'delete',
      expected: random.pick(['any', 'any', 'any', 'absent', 'exists', known ?? 'any']),
      repeatable: random.chance(0.6),
    }
    history.began(attempt)
    await this.#append(attempt)
    // A retry of something that succeeded has to be told the same.
    if (attempt.repeatable && random.chance(0.05)) await this.#append(attempt)
  }

  async #append(attempt: Attempt): Promise<void> {
    const { history, signal } = this.#options
    for (;;) {
      const told = await this.#try(attempt)
      const isOpen = told.kind === 'unknown' || (told.kind === 'refused' && told.code === 'REDIS_UNAVAILABLE')
      if (isOpen && attempt.repeatable && !signal.aborted) continue
      // Given up in the end, an attempt that was sent more than once may be stored by an earlier one.
      history.told(attempt.id, attempt.repeatable && isOpen ? { ...told, kind: 'unknown' } : told)
      if (told.kind === 'stored') this.#versions.set(attempt.key, told.version)
      return
    }
  }

  async #try({ id, key, kind, expected, repeatable }: Attempt): Promise<Told> {
    const change = kind === 'put' ? notes.put({ id: key, content: id }) : notes.delete(key)
    const begunAt = performance.now()
    try {
      const { version, position, duplicate } = await this.#options.log.append(change, {
        expected: expected as Expected,
        metadata: { id },
        ...(repeatable && { idempotencyKey: id }),
      })
      this.#options.onAcknowledged?.(position, begunAt)
      return { kind: 'stored', version, position, duplicate }
    } catch (error) {
      if (error instanceof VersionConflictError) return { kind: 'conflict', actual: error.actual }
      const { code, message: why } = error as HeadwaterError
      return { kind: undecided.has(code) ? 'unknown' : 'refused', code, why }
    }
  }
}
