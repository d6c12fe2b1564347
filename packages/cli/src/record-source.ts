import { createReadStream, fstatSync, statSync, type Stats } from 'node:fs'
import { addAbortSignal, type Readable } from 'node:stream'
import { callerPath } from './caller-path.ts'
import { CliError } from './cli-error.ts'

/** Where records come from. */
export interface RecordSource {
  /** Ends early, without an error, when the signal aborts. */
  chunks(signal: AbortSignal): AsyncIterable<Uint8Array>
  /** Undefined where the end is not known beforehand. */
  readonly bytes: number | undefined
}

/** A file, or stdin for `-`. @throws CliError FILE_UNREADABLE, then and while it is read */
export function openRecords(path: string): RecordSource {
  const file = path === '-' ? undefined : callerPath(path)
  const stats = readable(file, () => (file === undefined ? fstatSync(process.stdin.fd) : statSync(file)))
  const open = (): Readable => (file === undefined ? process.stdin : createReadStream(file))
  return { chunks: (signal) => chunksOf(file, open, signal), bytes: sizeOf(stats) }
}

async function* chunksOf(
  file: string | undefined,
  open: () => Readable,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of addAbortSignal(signal, open())) yield chunk as Uint8Array
  } catch (error) {
    if (!signal.aborted) throw unreadable(file, error)
  }
}

function sizeOf(stats: Stats): number | undefined {
  return stats.isFile() ? stats.size : undefined
}

function readable<T>(file: string | undefined, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw unreadable(file, error)
  }
}

function unreadable(file: string | undefined, error: unknown): CliError {
  const reason = error instanceof Error ? error.message : String(error)
  return new CliError('FILE_UNREADABLE', `${file ?? 'stdin'} cannot be read: ${reason}.`, { cause: error })
}
