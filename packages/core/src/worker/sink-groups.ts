import type { AnySink } from '../sink/sink.ts'

/** Under which group a worker of this process runs a sink, so that nobody has to say it twice. */
const groups = new WeakMap<AnySink, string>()

export function noteGroupOfSink(sink: AnySink, group: string): void {
  groups.set(sink, group)
}

export function groupOfSink(sink: AnySink): string | undefined {
  return groups.get(sink)
}
