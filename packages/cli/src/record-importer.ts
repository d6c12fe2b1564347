import { AppendWindow } from './append-window.ts'
import { errorReport, type ErrorReport } from './error-report.ts'
import type { FailedRecord, ImportTally } from './import-tally.ts'
import type { OpenCollection } from './open-log.ts'
import type { RecordLine } from './record-line.ts'

export interface RecordImporterOptions {
  readonly target: OpenCollection
  readonly tally: ImportTally
  /** Each record gets this and its line number as idempotency key. */
  readonly idempotencyKey: string | undefined
  readonly metadata: Readonly<Record<string, string>> | undefined
  /** Told of each record that cannot be appended as it is. */
  readonly onFailure: (failure: FailedRecord) => void
}

/** Errors that are the record's own fault. Any other would befall the next record too. */
const faultsOfRecords = new Set(['VALUE_INVALID', 'KEY_INVALID', 'VALUE_TOO_LARGE'])

/** Appends records, many at a time. */
export class RecordImporter {
  readonly #options: RecordImporterOptions
  readonly #window = new AppendWindow()
  #error: ErrorReport | undefined

  constructor(options: RecordImporterOptions) {
    this.#options = options
  }

  /** What makes it pointless to go on; undefined while nothing does. */
  get error(): ErrorReport | undefined {
    return this.#error
  }

  /** Settles when there is room for the next record, and not when this one is in the log. */
  async add(line: RecordLine): Promise<void> {
    this.#options.tally.read(line.bytes)
    if (line.kind === 'broken') {
      this.#options.onFailure({ line: line.number, code: 'VALUE_INVALID', message: line.why })
      return
    }
    await this.#window.room()
    this.#window.add(line.bytes, this.#append(line.number, line.value))
  }

  /** Settles when every record is in the log or has failed. */
  async settled(): Promise<void> {
    await this.#window.empty()
  }

  async #append(line: number, value: unknown): Promise<void> {
    const { target, tally, idempotencyKey, metadata, onFailure } = this.#options
    try {
      const { duplicate } = await target.log.append(target.collection.put(value), {
        idempotencyKey: idempotencyKey === undefined ? undefined : `${idempotencyKey}/${line}`,
        metadata,
      })
      tally.appended(duplicate)
    } catch (error) {
      const { code, message } = errorReport(error)
      if (faultsOfRecords.has(code)) return onFailure({ line, code, message })
      tally.unconfirmed()
      this.#error ??= errorReport(error)
    }
  }
}
