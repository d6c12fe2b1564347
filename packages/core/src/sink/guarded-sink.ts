import { HeadwaterError } from '../errors/headwater-error.ts'
import { callWithDeadline } from './call-with-deadline.ts'
import { GuardedPartition } from './guarded-partition.ts'
import { sinkError } from './sink-error.ts'
import type { OpenPartitionOptions, Sink, SinkPartition } from './sink.ts'

export interface GuardOptions {
  /** How long one `open`, `apply` or `advance` may take, in ms, before it counts as failed. Default 30,000. */
  readonly applyTimeoutMs?: number
}

/**
 * Keeps the contract around a naive adapter, so that no adapter and no caller has to. Batches are checked, cut to
 * the declared limits and handed over at the declared concurrency; what an adapter throws becomes outcomes; what
 * it answers is checked; calls have a deadline; nothing passes after `close`.
 *
 * @throws HeadwaterError SINK_CONTRACT when the adapter does not have what it declares, or has what it does not
 */
export function guardSink<T>(
  sink: Sink<T>,
  { applyTimeoutMs: timeoutMs = 30_000 }: GuardOptions = {},
): Sink<T> {
  checkCapabilities(sink)
  const { name, collection, capabilities } = sink
  const open = new Set<SinkPartition>()
  let closing: Promise<void> | undefined

  const checkOpen = () => {
    if (closing) throw new HeadwaterError('CLOSED', `The ${name} was used after it was closed.`)
  }

  async function openPartition(options: OpenPartitionOptions): Promise<SinkPartition> {
    checkOpen()
    const opened = await withSinkErrors(name, () =>
      callWithDeadline((signal) => sink.open({ ...options, signal }), {
        name: `open of partition ${options.partition} of the ${name}`,
        timeoutMs,
        signal: options.signal,
        // Whoever asked for it has left.
        late: (running) => void running.then((late) => late.close()).catch(() => {}),
      }),
    )
    if (closing) await opened.close()
    checkOpen()
    checkPosition(name, opened)
    checkSnapshot(sink, opened)
    const guarded: SinkPartition = new GuardedPartition({
      sink,
      partition: options.partition,
      opened,
      timeoutMs,
      closed: () => open.delete(guarded),
    })
    open.add(guarded)
    return guarded
  }

  async function close(): Promise<void> {
    await Promise.all([...open].map((partition) => partition.close()))
    await sink.close()
  }

  const prepare = sink.prepare?.bind(sink)
  const list = sink.list?.bind(sink)
  const read = sink.read?.bind(sink)
  const replace = sink.replace?.bind(sink)
  const digest = sink.digest?.bind(sink)
  const listCells = sink.listCells?.bind(sink)
  return {
    name,
    collection,
    capabilities,
    takes: sink.takes ?? 'state',
    ...(prepare && {
      async prepare() {
        checkOpen()
        await withSinkErrors(name, () => prepare())
      },
    }),
    open: openPartition,
    ...(list && {
      async *list(options) {
        checkOpen()
        try {
          yield* list(options)
        } catch (error) {
          throw sinkError(name, error)
        }
      },
    }),
    ...(read && {
      async read(keys) {
        checkOpen()
        const values = await withSinkErrors(name, () => read(keys))
        if (values.length !== keys.length) {
          throw broken(name, `read ${values.length} values of ${keys.length} keys`)
        }
        return values
      },
    }),
    ...(digest && {
      async digest(query) {
        checkOpen()
        return await withSinkErrors(name, () => digest(query))
      },
    }),
    ...(listCells && {
      async *listCells(query) {
        checkOpen()
        try {
          yield* listCells(query)
        } catch (error) {
          throw sinkError(name, error)
        }
      },
    }),
    ...(replace && {
      async replace(replacements) {
        checkOpen()
        const outcomes = await withSinkErrors(name, () => replace(replacements))
        if (outcomes.length !== replacements.length) {
          throw broken(name, `answered ${replacements.length} replacements with ${outcomes.length} outcomes`)
        }
        return outcomes
      },
    }),
    ...(sink.versions && { versions: sink.versions }),
    close: () => (closing ??= close()),
  }
}

async function withSinkErrors<R>(name: string, call: () => Promise<R>): Promise<R> {
  try {
    return await call()
  } catch (error) {
    throw sinkError(name, error)
  }
}

function checkCapabilities(sink: Sink): void {
  const { name, capabilities } = sink
  if ((sink.listCells !== undefined) !== (sink.digest !== undefined)) {
    throw broken(name, 'has only one of digest() and listCells(), which go together')
  }
  if ((sink.versions !== undefined) !== (capabilities.versions ?? false)) {
    throw broken(name, 'declares versions and has none, or has versions and does not declare them')
  }
  for (const method of ['list', 'read', 'replace', 'digest'] as const) {
    const has = sink[method] !== undefined
    if (has === (capabilities[method] ?? false)) continue
    throw broken(
      name,
      has ? `has ${method}() and does not declare it` : `declares ${method} and has no ${method}()`,
    )
  }
  if (capabilities.snapshot && !(capabilities.digest && capabilities.read)) {
    throw broken(
      name,
      'declares snapshot, but not both digest and read, by which a difference is looked into',
    )
  }
  const { concurrency, batch } = capabilities
  for (const [limit, value] of Object.entries({
    concurrency,
    'batch.changes': batch.changes,
    'batch.bytes': batch.bytes,
  })) {
    if (!Number.isInteger(value) || value < 1)
      throw broken(name, `declares ${limit} ${value}, which must be 1 or more`)
  }
}

/** Drivers like to give 64-bit numbers as text, and "9" is not below "10". */
function checkPosition(name: string, { position }: SinkPartition): void {
  if (position === undefined) return
  const { epoch, sequence, branch } = position
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(sequence) || typeof branch !== 'string') {
    throw broken(name, `was opened at ${JSON.stringify(position)}, which is no position`)
  }
}

function checkSnapshot({ name, capabilities }: Sink, opened: SinkPartition): void {
  const has = opened.snapshot !== undefined
  if (has === (capabilities.snapshot ?? false)) return
  const what = has ? 'has snapshot() and does not declare it' : 'declares snapshot and has no snapshot()'
  throw broken(name, `opened a partition that ${what}`)
}

function broken(name: string, what: string): HeadwaterError {
  return new HeadwaterError('SINK_CONTRACT', `The ${name} ${what}.`)
}
