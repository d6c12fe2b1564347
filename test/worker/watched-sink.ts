import { notes, type Note } from '@headwater/conformance'
import {
  memorySink,
  type Change,
  type Fence,
  type MemorySink,
  type MemorySinkOptions,
  type Outcome,
} from '@headwater/core'

/** One `apply` that reached a watched sink. */
interface WatchedCall {
  readonly partition: number
  readonly fence: Fence
  readonly changes: readonly Change[]
}

/** A memory sink that shows what reaches it, and answers as a test says. */
export interface WatchedSink extends MemorySink<Note> {
  /** Every `apply`, in order, also those that were refused. */
  readonly calls: WatchedCall[]
  /** Asked before each `apply`: an answer of its own, or undefined to let the memory sink answer. May take its time. */
  answer: (call: WatchedCall) => Promise<readonly Outcome[] | undefined> | readonly Outcome[] | undefined
  /** Sequences of the changes that were offered, in order. */
  offered(): number[]
}

export function watchedSink(options: Partial<MemorySinkOptions<Note>> = {}): WatchedSink {
  const memory = memorySink({ collection: notes, ...options })
  const calls: WatchedCall[] = []
  const sink: WatchedSink = {
    ...memory,
    calls,
    answer: () => undefined,
    offered: () => calls.flatMap(({ changes }) => changes.map(({ stamp }) => stamp.sequence)),
    async open(opening) {
      const { partition, fence } = opening
      const opened = await memory.open(opening)
      return {
        ...opened,
        async apply(changes, position, applying) {
          const call = { partition, fence, changes }
          calls.push(call)
          return (await sink.answer(call)) ?? (await opened.apply(changes, position, applying))
        },
      }
    },
  }
  return sink
}
